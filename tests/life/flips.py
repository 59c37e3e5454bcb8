"""Twenty flips there and back under load, as the client sees them. Run by the long test and by the benchmark.

The database lies on a real disk (/var/tmp, unless TMPDIR says otherwise): on a tmpfs a sync costs nothing and the
figures would say nothing.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import Life  # noqa: E402


def on_a_disk():
    """Makes temporary folders land on a disk."""
    folder = os.environ.get("TMPDIR", "/var/tmp")
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    if kind == "tmpfs":
        raise SystemExit(f"{folder} is a tmpfs; set TMPDIR to a folder on a disk")
    tempfile.tempdir = folder


def alone(tweets, journal_mode, synchronous, rate, seconds=8):
    """What the same client reaches without the bridge, on the same disk."""
    with Life(rows=tweets, journal_mode=journal_mode, synchronous=synchronous, pg_extra="fsync = on") as life:
        life.start_application(rate=rate)
        time.sleep(seconds)  # the length of the measurement
        return life.stop_application()


def twenty_flips(tweets, journal_mode, synchronous, rate, flips=20):
    """Flips in a row under load; what the client and the program say of them."""
    with Life(rows=tweets, journal_mode=journal_mode, synchronous=synchronous, pg_extra="fsync = on") as life:
        life.start_sidecar()
        life.wait_phase("forward", 300)
        life.start_application(rate=rate)
        life.let_it_write(300)
        locked = []
        for number in range(flips):
            outcome = life.flip("cutover" if number % 2 == 0 else "rollback")
            locked.append(outcome["pause_ms"])
            life.let_it_write(600)
        report = life.stop_application()
        line = life.check(120)
        gaps = {"postgres": [], "old": []}
        for switch in report["switches"]:
            gaps[switch["to"]].append(switch["gap_ms"])
        return {"checked": line, "rate": report["rate"], "acked": report["acked"], "errors": report["errors"],
                "locked_ms": locked, "gaps": gaps}


def summary(result):
    """p50 and worst gap per direction."""
    return {to: {"p50": round(statistics.median(gaps), 1), "worst": round(max(gaps), 1), "n": len(gaps)}
            for to, gaps in result["gaps"].items() if gaps}


def report(name, result):
    """One line a person reads."""
    print(f"{name}: {result['rate']:.0f} writes/s, gaps {json.dumps(summary(result))}, "
          f"locked p50 {statistics.median(result['locked_ms']):.1f} ms, errors {json.dumps(result['errors'])}; "
          f"{result['checked']}", flush=True)
