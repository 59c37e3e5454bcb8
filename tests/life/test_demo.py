"""The demo as a person starts it: nothing lost, a planted loss makes it fail, and killed it leaves nothing behind."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, wait_until  # noqa: E402

PROGRAM = os.environ.get("SWITCHBACK_RELEASE") or PROGRAM  # a story told at the speed that people see


def command(folder, *options, rows=300):
    os.chmod(folder, 0o755)
    return [PROGRAM, "demo", "--folder", folder, "--rows", str(rows), "--rate", "100", "--seconds", "2", *options]


def demo(*options, rows=300):
    """A short one, in a folder that goes with the test; (exit code, last line, everything)."""
    with tempfile.TemporaryDirectory(prefix="switchback-demo-") as folder:
        done = subprocess.run(command(folder, *options, rows=rows), capture_output=True, text=True, timeout=240)
        lines = done.stdout.splitlines() or [""]
        return done.returncode, lines[-1], done.stdout + done.stderr


def processes():
    """Those that have not ended: {pid: (parent, when it started, its command line)}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                fields = stat.read().rpartition(")")[2].split()
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as line:
                words = line.read().replace("\0", " ")
        except OSError:
            continue  # it ended while we looked
        if fields[0] != "Z":
            found[int(pid)] = (int(fields[1]), fields[19], words)
    return found


def descendants(parent):
    """The same of all that `parent` has started, and what those have started."""
    everybody = processes()
    family = {parent}
    while more := {pid for pid, (started_by, *_) in everybody.items() if started_by in family} - family:
        family |= more
    return {pid: everybody[pid] for pid in family - {parent}}


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

    def test_a_system_of_files(self):
        code, last, everything = demo("--system", "llmcouncil", rows=100)
        self.assertEqual(code, 0, everything)
        self.assertRegex(last, r" [1-9]\d* writes, 0 lost$")
        self.assertIn("100 conversations in JSON files", everything)

    def test_a_system_that_is_not_there(self):
        code, _, everything = demo("--system", "nobody")
        self.assertEqual(code, 2, everything)
        self.assertIn("there are: llmcouncil, twitter, widgettdc", everything)

    def test_killed_it_leaves_nothing_running(self):
        with tempfile.TemporaryDirectory(prefix="switchback-demo-") as folder:
            journal = os.path.join(folder, "journal.jsonl")
            with open(os.path.join(folder, "demo.log"), "wb") as log, \
                    subprocess.Popen(command(folder), stdout=log, stderr=log) as killed:
                try:
                    wait_until(lambda: os.path.exists(journal) and os.path.getsize(journal), "the application writes")
                    started = descendants(killed.pid)
                finally:
                    killed.kill()
            lines = "".join(words for *_, words in started.values())
            self.assertIn("application.py", lines)
            self.assertIn("postgres: ", lines)

            def running():
                now = processes()
                return {pid: words for pid, (_, since, words) in started.items()
                        if pid in now and now[pid][1] == since}
            wait_until(lambda: not running(), "all that the demo had started has ended", 30)


if __name__ == "__main__":
    unittest.main()
