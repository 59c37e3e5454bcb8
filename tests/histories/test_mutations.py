"""Plants one bug of each kind in the program (state/base/mutation.h) and requires that a test notices it. Prints which
one did. Beside the fixed scripts of found/, with SWITCHBACK_MUTATION_HISTORIES=N, as many random histories must notice
those bugs that they are apt to."""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import history  # noqa: E402
from bridge import PROGRAM, history_cluster  # noqa: E402
from play import play  # noqa: E402
from test_found import load  # noqa: E402

# Bug: the script (or, with a dot, the unit test) that notices it, and whether one of the first 60 random histories does,
# too. The rest take a coincidence that comes more seldom.
NOTICED_BY = {
    "no-before-trigger": ("displaced_by_unique_value", True),
    "collation-ignored": ("key_changes_case", False),
    "nonce-ignored": ("restored_copy_with_as_many_entries", False),
    "position-before-sync": ("power_lost_after_feedback", False),
    # Only what is written between the making of the slot and the lock can come back: no script can hold that moment.
    "echo-kept": ("AssemblerTest.DropsEchoesAndTheirPositionCounts", False),
    "rename-as-two": ("renamed_row_keeps_what_only_sqlite_has", False),
    "unchanged-as-null": ("big_value_left_alone", True),
    "cascade-left-to-server": ("cascade_that_sqlite_did_not_do", False),
    "fence-misses-a-leaf": ("fence_on_every_table", True),
}
UNIT_TESTS = os.environ.get("SWITCHBACK_UNIT_TESTS") or os.path.join(
    os.path.dirname(PROGRAM or ""), "..", "tests", "replication", "replication_unit_tests")
HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "state", "base", "mutation.h")


def planted():
    """Every bug that the program knows."""
    with open(HEADER, encoding="utf-8") as header:
        return re.findall(r'^    "([a-z-]+)",', header.read(), re.MULTILINE)


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Mutations(unittest.TestCase):
    """test_found.py shows that the same scripts pass without the bug."""

    def test_every_bug_has_a_script(self):
        self.assertEqual(planted(), list(NOTICED_BY))

    def test_scripts(self):
        with history_cluster() as cluster:
            for bug, (name, _) in NOTICED_BY.items():
                with self.subTest(bug):
                    if "." in name:
                        how = self.unit_test(name, bug)
                    else:
                        failed = play(cluster, load(name), {"SWITCHBACK_MUTATION": bug})
                        self.assertIsNotNone(failed, f"{bug} went unnoticed by {name}")
                        how = failed.kind
                    print(f"{bug}: noticed by {name} ({how})", flush=True)

    def unit_test(self, name, bug):
        """One test of the decoder's suite: it passes without the bug and fails with it."""
        for mutation, passes in (("", True), (bug, False)):
            done = subprocess.run([UNIT_TESTS, f"--gtest_filter={name}"], capture_output=True, text=True,
                                  env={**os.environ, "SWITCHBACK_MUTATION": mutation})
            self.assertIn("[ RUN      ]", done.stdout, f"there is no test {name}")
            self.assertEqual(done.returncode == 0, passes, f"{name} with {mutation or 'no bug'}: {done.stdout}")
        return "unit test"

    @unittest.skipUnless(os.environ.get("SWITCHBACK_MUTATION_HISTORIES"), "for --long")
    def test_histories(self):
        count = int(os.environ["SWITCHBACK_MUTATION_HISTORIES"])
        first = int(os.environ.get("SWITCHBACK_SEED") or 1)
        with history_cluster() as cluster:
            for bug in (bug for bug, (_, apt) in NOTICED_BY.items() if apt):
                with self.subTest(bug):
                    noticed = next((seed for seed in range(first, first + count)
                                    if play(cluster, history.make(seed), {"SWITCHBACK_MUTATION": bug})), None)
                    self.assertIsNotNone(noticed, f"{bug} went unnoticed by {count} histories from {first}")
                    print(f"{bug}: noticed by random history {noticed}", flush=True)


if __name__ == "__main__":
    unittest.main()
