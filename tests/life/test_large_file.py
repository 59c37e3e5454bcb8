"""A file of some megabytes: the sidecar's memory is bounded by its size and a constant, in every phase, and one changed
record arrives alone."""
import os
import sys
import unittest

RELEASE = os.environ.get("SWITCHBACK_RELEASE")
if RELEASE:
    os.environ["SWITCHBACK"] = RELEASE  # before the program is looked for below

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from large_file import LargeFile  # noqa: E402
from life import PROGRAM  # noqa: E402

RECORDS = 20_000   # beyond what is kept in memory between two looks
# Of the program itself. A build that watches its memory takes more of it.
CONSTANT_MIB = 128 if RELEASE else 1024


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Large(unittest.TestCase):
    """All phases of one bridge."""

    def test_one_record_of_many(self):
        with LargeFile(RECORDS) as large:
            most = large.size + (CONSTANT_MIB << 20)
            large.load()
            self.assertEqual(large.sql("SELECT count(*) FROM items"), [(RECORDS,)])
            self.assertLessEqual(large.peak(), most, "in the load")
            versions = "SELECT count(*) FROM items WHERE xmin = (SELECT xmin FROM items WHERE id = 9000)"
            large.change(9000, "other")
            self.assertEqual(large.sql(versions), [(1,)], "the record came alone")
            self.assertLessEqual(large.peak(), most, "forward")
            large.run("cutover", "--yes", "--max-pause", "10s")
            large.change_back(9001, "from PostgreSQL")
            self.assertLessEqual(large.peak(), most, "in reverse")


if __name__ == "__main__":
    unittest.main()
