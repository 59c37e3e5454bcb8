"""Twenty flips in a row under load on a real disk: nothing lost, and pauses a person does not notice. SWITCHBACK_RELEASE,
if set, is the program whose pauses count: sanitizers more than double them."""
import os
import sys
import unittest

if os.environ.get("SWITCHBACK_RELEASE"):
    os.environ["SWITCHBACK"] = os.environ["SWITCHBACK_RELEASE"]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from flips import alone, on_a_disk, report, summary, twenty_flips  # noqa: E402
from life import PROGRAM  # noqa: E402


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class TwentyFlips(unittest.TestCase):
    """The limits are the issue's: p50 100 ms and worst 500 ms in WAL mode."""

    @classmethod
    def setUpClass(cls):
        on_a_disk()

    def in_wal_mode(self, tweets):
        result = twenty_flips(tweets, "wal", "FULL", rate=1000)
        report(f"WAL, {tweets} tweets", result)
        self.assertGreaterEqual(result["rate"], 800)
        for direction in summary(result).values():
            self.assertLessEqual(direction["p50"], 100)
            self.assertLessEqual(direction["worst"], 500)

    def test_wal_1000_tweets(self):
        self.in_wal_mode(1000)

    def test_wal_1000000_tweets(self):
        self.in_wal_mode(1_000_000)

    def test_rollback_journal(self):
        reference = alone(1000, "delete", "FULL", rate=0)
        result = twenty_flips(1000, "delete", "FULL", rate=0)
        print(f"rollback journal, alone: {reference['rate']:.0f} writes/s")
        report("rollback journal", result)
        self.assertGreaterEqual(result["rate"], 0.5 * reference["rate"])


if __name__ == "__main__":
    unittest.main()
