"""Random histories: `SWITCHBACK_HISTORIES` of them (100), from the seed that seeds.py chooses. Prints every seed that fails
with the shortest script that still fails, and tests/histories/found keeps those that were mended. SWITCHBACK_STORE=files
plays those whose old store is JSON files.

One history by hand: SWITCHBACK=build/dev/bridge/switchback SWITCHBACK_SEED=… SWITCHBACK_HISTORIES=1 python3 test_histories.py
"""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import files_history  # noqa: E402
import files_play  # noqa: E402,F401  (play() finds it)
import history  # noqa: E402
import shrink  # noqa: E402
from bridge import PROGRAM, history_cluster  # noqa: E402
from play import play  # noqa: E402
from seeds import first_seed  # noqa: E402

MAKERS = {"sqlite": history.make, "files": files_history.make}


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Histories(unittest.TestCase):
    """All seeds are played; the first failures are shrunk."""

    def test_histories(self):
        count = int(os.environ.get("SWITCHBACK_HISTORIES", "100"))
        first, make = first_seed(), MAKERS[os.environ.get("SWITCHBACK_STORE", "sqlite")]
        print(f"{count} histories from seed {first}", flush=True)
        failures, since = [], time.monotonic()
        with history_cluster() as cluster:
            for seed in range(first, first + count):
                began = time.monotonic()
                script = make(seed)
                failed = play(cluster, script)
                if os.environ.get("SWITCHBACK_HISTORY_TIMES"):
                    print(f"seed {seed}: {time.monotonic() - began:.1f} s, {len(script['steps'])} steps", flush=True)
                if failed:
                    failures.append(seed)
                    print(f"seed {seed}: {failed}", flush=True)
                    if len(failures) <= int(os.environ.get("SWITCHBACK_SHRINKS", "2")):
                        short = shrink.shrink(cluster, script, failed.kind)
                        print(f"seed {seed}, " + (f"shrunk:\n{shrink.text(short)}" if short
                              else "played again: did not fail"), flush=True)
        print(f"{count} histories in {time.monotonic() - since:.0f} s, {len(failures)} failed: {failures}", flush=True)
        self.assertEqual(failures, [])


if __name__ == "__main__":
    unittest.main()
