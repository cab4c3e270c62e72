# SPDX-License-Identifier: MIT
"""A worker: a sandbox with a cluster in it, in which one test after the other is run."""

import shutil

from . import linux, outcome, schedule, snapshot
from .cluster import Cluster
from .lab import Lab
from .registry import TESTS
from .sandbox import Sandbox


def main(sock, mode, stage, options):
    linux.die_with_parent()
    return Sandbox(mode, stage).run_inside(lambda sandbox: _work(sock, sandbox, options))


def _work(sock, sandbox, options):
    linux.set_name("lab-worker")
    with schedule.starting():
        lab = Lab(sandbox, Cluster(sandbox), options.tunnel, options.against)
    tests = {t.name: t for t in TESTS}
    schedule.serve(sock, lambda name: run_one(lab, tests[name]))


def run_one(lab, test):
    missing = [p for p in test.needs if not (shutil.which(p, path="/tmp/lab/bin:" + lab.environment()["PATH"]))]
    if missing:
        return {"outcome": "skipped", "detail": "not installed: " + ", ".join(missing), "seconds": 0.0}

    def run():
        lab.forget_log()
        note = test.run(lab)
        lab.wait_clean()
        return note

    result = outcome.perform(test, run, lab.log)
    if result["outcome"] == "failed":
        snapshot.wait_same(lab.clean, lab.cluster, 2)
        snapshot.remove(lab.clean)
    if report := lab.take_reports():
        result = {"expected": "no report of a sanitizer's", "seen": "one", **result, "outcome": "failed", "detail": report + result.get("detail", "")}
    return result
