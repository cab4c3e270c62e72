# SPDX-License-Identifier: MIT
"""A worker: a cluster, in which one test after the other is run. All of it ends with this process, but for what Cluster.down() removes."""

import os
import time
import traceback

from labkit import linux, outcome, schedule

from .cluster import Trouble
from .kit import Kit


def _bring_up(cluster, options):
    """What tests in it have at hand."""
    began = time.monotonic()
    build = os.path.realpath(options.build)
    cluster.up()
    kit = Kit(cluster, build, os.path.join(build, "mirrord-agent.tar"))
    cluster.load(kit.image)
    kit.prepare()
    print(f"# cluster {cluster.number} is ready after {time.monotonic() - began:.1f} s", flush=True)
    return kit


def main(sock, cluster, work, options):
    """@work: the tests that it may be asked for."""
    tests = {t.name: t for t in work}
    linux.die_with_parent()

    def perform(name):
        result = _perform(tests[name], kit)
        if not all(node.alive() for node in cluster.nodes):
            raise Trouble("a node died\n" + "\n".join(node.logs(30) for node in cluster.nodes))
        return result

    try:
        with schedule.starting():
            kit = _bring_up(cluster, options)
        schedule.serve(sock, perform)
    except BaseException as e:
        trouble = str(e) if isinstance(e, Trouble) else traceback.format_exc()
        print("\n".join(f"# {line}" for line in trouble.splitlines()), flush=True)
        return 1
    return 0


def _perform(test, kit):
    def run():
        test.run(kit)
        kit.wait_clean()

    result = outcome.perform(test, run)
    if result["outcome"] == "failed":
        kit.end_ours()
    return result
