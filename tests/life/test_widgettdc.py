"""The whole life of the WidgeTDC system's bridge, which begins with everything in the -wal."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM  # noqa: E402
from whole_life import WholeLife  # noqa: E402


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class WidgeTDC(WholeLife, unittest.TestCase):
    """In WAL mode, which is the application's."""
    system = "widgettdc"
    writes = ["UPDATE decisions SET title = title", "TRUNCATE pal_stress_levels"]

    def before_start(self, life):
        main, wal = (os.path.getsize(life.path(life.store + end)) for end in ("", "-wal"))
        self.assertLess(main, 8192)
        self.assertGreater(wal, 500_000)

    def test_whole_life(self):
        self.play("wal")


if __name__ == "__main__":
    unittest.main()
