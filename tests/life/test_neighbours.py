"""Two bridges in one PostgreSQL database: what flips on its own is a bridge of its own. A changed table stops the one it
belongs to, on either side, and the other goes on, flips included; so does what is left when one is abandoned."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life  # noqa: E402
from test_doctor import Mended, write_old  # noqa: E402


class Neighbour(Life):
    """Moves into the database of another life."""

    def __init__(self, host, **options):
        super().__init__(**options)
        self.host = host

    def make_cluster(self):
        return self.host.cluster

    def make_stores(self):
        self.url = self.host.url
        self.make_store()

    def end_cluster(self, *_):
        """The host's affair."""


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Neighbours(Mended):
    def test_one_stops_and_the_other_goes_on(self):
        with Life(rows=60, rate=60) as one, Neighbour(one, rows=60, rate=60, system="widgettdc") as other:
            for life in (one, other):
                life.start_application()
                life.start_sidecar()
            for life in (one, other):
                life.wait_phase("forward")
                life.let_it_write(20)
            write_old(one, "ALTER TABLE users ADD COLUMN note TEXT")
            self.wait_told(one, 'old: ALTER TABLE users ADD COLUMN "note" TEXT', "switchback doctor --fix")
            self.there_and_back(other)
            with one.postgres().cursor() as cursor:
                cursor.execute("ALTER TABLE users ADD COLUMN note text")
            self.fix(one)
            one.flip_when_ready("cutover")
            with one.postgres().cursor() as cursor:
                cursor.execute("ALTER TABLE users ALTER COLUMN note TYPE varchar(50)")
            self.wait_told(one, "postgres: ALTER TABLE public.users ALTER COLUMN note TYPE character varying(50)")
            self.there_and_back(other)
            self.fix(one)
            self.moves_out(other)
            self.assertEqual(other.traces_in_store(), [])
            one.let_it_write(20)
            one.flip_when_ready("rollback")
            one.let_it_write(20)
            self.moves_out(one)
            self.assertEqual(one.traces(), [])

    def there_and_back(self, life):
        for command in ("cutover", "rollback"):
            life.flip_when_ready(command)
            life.let_it_write(20)
        self.assertEqual(life.group()["phase"], "forward")

    def moves_out(self, life):
        life.stop_application()
        self.identical(life)
        life.check()
        life.stop_sidecar()
        code, out, err = life.run("abandon", "--yes")
        self.assertEqual(code, 0, out + err)


if __name__ == "__main__":
    unittest.main()
