"""Which histories a run plays: SWITCHBACK_SEED's, else new ones with each commit. The same commit plays the same ones, so
that one that failed can be played again, and a run that passed says something of the next one. `clock` as seed: others each
time, for long runs."""
import os
import subprocess
import time

DISTANCE = 10**6  # between the first seeds of two tests that play side by side


def commit_number():
    """Of the commit that is checked out; None where there is no repository."""
    found = subprocess.run(["git", "-c", "safe.directory=*", "rev-parse", "HEAD"], cwd=os.path.dirname(os.path.abspath(__file__)),
                           capture_output=True, text=True, check=False)
    return int(found.stdout[:10], 16) if found.returncode == 0 else None


def first_seed():
    """Of this test, one of those that play at once: SWITCHBACK_SHARE is its number."""
    said = os.environ.get("SWITCHBACK_SEED", "")
    if said not in ("", "clock"):
        return int(said)
    number = None if said == "clock" else commit_number()
    if number is None:
        number = time.time_ns() // 1000 % 10**12
    return number + DISTANCE * int(os.environ.get("SWITCHBACK_SHARE", "0"))
