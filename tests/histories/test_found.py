"""What random histories have found, and what the planted bugs of test_mutations.py break: fixed scripts, each of which
must end with both sides identical."""
import glob
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import files_play  # noqa: E402,F401  (play() finds it)
from bridge import PROGRAM, history_cluster  # noqa: E402
from play import play  # noqa: E402

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "found")


def load(name):
    """A script of the folder."""
    with open(os.path.join(FOLDER, name + ".json"), encoding="utf-8") as file:
        return json.load(file)


def names():
    """All there are."""
    return sorted(os.path.basename(path)[:-5] for path in glob.glob(os.path.join(FOLDER, "*.json")))


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Found(unittest.TestCase):
    """Each script."""

    def test_scripts(self):
        with history_cluster() as cluster:
            self.assertNotEqual(names(), [])
            for name in names():
                script = load(name)
                if "waits" in script:
                    print(f"{name} waits {script['waits']}", flush=True)
                    continue
                with self.subTest(name):
                    failed = play(cluster, script)
                    self.assertIsNone(failed, str(failed))


if __name__ == "__main__":
    unittest.main()
