# SPDX-License-Identifier: MIT
"""What came of a test, as Report wants it."""

import signal
import time
import traceback

from .registry import PATIENCE, Failure, Skip


class OutOfTime(Exception):
    """Not a Failure: no test takes it for one that it expects."""


def _out_of_time(signum, frame):
    raise OutOfTime()


def perform(test, run, log=str):
    """run() is the test, within its time; log() goes with a failure that says no more itself."""
    seconds, began = int(test.timeout * PATIENCE), time.monotonic()
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(seconds)
    try:
        result = {"outcome": "passed", "note": run() or ""}
    except Skip as e:
        result = {"outcome": "skipped", "detail": str(e)}
    except Failure as e:
        result = {"outcome": "failed", "expected": e.expected, "seen": e.seen, "detail": e.detail or log()}
    except OutOfTime:
        result = {"outcome": "failed", "expected": f"an end within {seconds} s", "seen": "none", "detail": traceback.format_exc() + log()}
    except Exception:
        result = {"outcome": "failed", "expected": "no exception", "seen": traceback.format_exc(), "detail": log()}
    finally:
        signal.alarm(0)
    return result | {"seconds": time.monotonic() - began}
