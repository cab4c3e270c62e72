# SPDX-License-Identifier: MIT
"""A worker: a sandbox with a cluster in it, in which one test after the other is run."""

import shutil
import signal
import time
import traceback

from . import linux, schedule, snapshot
from .cluster import Cluster
from .lab import Lab
from .registry import PATIENCE, Failure, Skip, TESTS
from .sandbox import Sandbox


class OutOfTime(Exception):
    pass


def main(sock, mode, stage, options):
    linux.die_with_parent()
    return Sandbox(mode, stage).run_inside(lambda sandbox: _work(sock, sandbox, options))


def _work(sock, sandbox, options):
    linux.set_name("lab-worker")
    with schedule.starting():
        lab = Lab(sandbox, Cluster(sandbox), options.tunnel, options.against)
    tests = {t.name: t for t in TESTS}
    signal.signal(signal.SIGALRM, _out_of_time)
    schedule.serve(sock, lambda name: run_one(lab, tests[name]))


def _out_of_time(signum, frame):
    raise OutOfTime()


def run_one(lab, test):
    began = time.monotonic()
    signal.alarm(int(test.timeout * PATIENCE))
    try:
        result = _outcome(lab, test)
    finally:
        signal.alarm(0)
    if report := lab.take_reports():
        result = {"expected": "no report of a sanitizer's", "seen": "one", **result, "outcome": "failed", "detail": report + result.get("detail", "")}
    result["seconds"] = time.monotonic() - began
    return result


def _outcome(lab, test):
    missing = [p for p in test.needs if not (shutil.which(p, path="/tmp/lab/bin:" + lab.environment()["PATH"]))]
    if missing:
        return {"outcome": "skipped", "detail": "not installed: " + ", ".join(missing)}
    try:
        lab.forget_log()
        note = test.run(lab)
        lab.wait_clean()
        return {"outcome": "passed", "note": note or ""}
    except Skip as e:
        return {"outcome": "skipped", "detail": str(e)}
    except Failure as e:
        result = {"outcome": "failed", "expected": e.expected, "seen": e.seen, "detail": e.detail or lab.log()}
    except OutOfTime:
        result = {"outcome": "failed", "expected": f"an end within {test.timeout * PATIENCE} s", "seen": "none",
                  "detail": traceback.format_exc() + lab.log()}
    except Exception:
        result = {"outcome": "failed", "expected": "no exception", "seen": traceback.format_exc(), "detail": lab.log()}
    snapshot.wait_same(lab.clean, lab.cluster, 2)
    snapshot.remove(lab.clean)
    return result
