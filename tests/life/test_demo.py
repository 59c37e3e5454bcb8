"""The demo as a person starts it: nothing lost, and a planted loss makes it fail."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM  # noqa: E402


def demo(*options):
    """A short one, in a folder that goes with the test; (exit code, last line, everything)."""
    with tempfile.TemporaryDirectory(prefix="switchback-demo-") as folder:
        os.chmod(folder, 0o755)
        done = subprocess.run([PROGRAM, "demo", "--folder", folder, "--rows", "300", "--rate", "100", "--seconds", "2",
                               *options], capture_output=True, text=True, timeout=240)
        lines = done.stdout.splitlines() or [""]
        return done.returncode, lines[-1], done.stdout + done.stderr


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Demo(unittest.TestCase):
    """Both ways it can end."""

    def test_ends_with_nothing_lost(self):
        code, last, everything = demo()
        self.assertEqual(code, 0, everything)
        self.assertRegex(last, r" [1-9]\d* writes, 0 lost$")

    def test_a_planted_loss_makes_it_fail(self):
        code, last, everything = demo("--plant-loss", "--journal-mode", "wal")
        self.assertEqual(code, 1, everything)
        self.assertRegex(last, r" writes, [1-9]\d* lost$")
        self.assertIn("\nlost tweets", everything)

    def test_another_system(self):
        code, last, everything = demo("--system", "widgettdc")
        self.assertEqual(code, 0, everything)
        self.assertRegex(last, r" [1-9]\d* writes, 0 lost$")
        self.assertIn("300 memory entities in SQLite", everything)

    def test_a_system_that_is_not_there(self):
        code, _, everything = demo("--system", "nobody")
        self.assertEqual(code, 2, everything)
        self.assertIn("there are: twitter, widgettdc", everything)


if __name__ == "__main__":
    unittest.main()
