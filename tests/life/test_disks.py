"""Disks that are full or read-only and a state directory that is gone, played against the real program. Each time
something clear is said, nothing is lost or half done, and it goes on once there is room again."""
import json
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faults import FaultTest, log, objects  # noqa: E402
from life import PROGRAM, Life, wait_until  # noqa: E402
from small_disk import SmallDisk, can_mount  # noqa: E402


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Disks(FaultTest):
    """Full, read-only and gone."""

    @classmethod
    def setUpClass(cls):
        if not can_mount():
            raise unittest.SkipTest("small file systems cannot be mounted here")

    def test_a_state_directory_without_room(self):
        with Life(rows=300, rate=50) as life, SmallDisk(life.path("state"), "1m") as disk:
            life.start_application()
            disk.fill()
            code, out, err = life.run("check")
            self.assertEqual(code, 1, out + err)
            self.assertRegex(out, r"no room in the state directory.*\n +fix: free space")
            # Nowhere to put the backup: nothing may be installed.
            life.start_sidecar()
            wait_until(lambda: life.sidecar.poll() is not None or "trying again" in log(life), "the sidecar says no")
            self.assertRegex(log(life), "No space left on device.*free space")
            self.assertEqual(objects(life), [])
            disk.make_room()
            disk.grow("64m")
            if life.sidecar.poll() is not None:
                life.start_sidecar()
            life.wait_phase("forward")
            life.let_it_write(20)

            disk.fill()
            self.refused(life, "cutover", "no room in the state directory")
            life.let_it_write(20)
            disk.make_room()
            life.flip("cutover")
            life.let_it_write(20)
            disk.fill()
            self.refused(life, "rollback", "no room in the state directory")
            life.let_it_write(20)
            disk.make_room()
            life.flip("rollback")
            life.let_it_write(20)
            life.stop_application()
            life.check()

    def test_a_state_directory_that_is_read_only_or_gone(self):
        with Life(rows=100, rate=50) as life, SmallDisk(life.path("state"), "64m") as disk:
            life.start_application()
            disk.read_only()
            life.start_sidecar()
            wait_until(lambda: life.sidecar.poll() is not None or "trying again" in log(life), "the sidecar says no")
            self.assertRegex(log(life), "Read-only file system")
            self.assertEqual(objects(life), [])
            disk.writable()
            if life.sidecar.poll() is not None:
                life.start_sidecar()
            life.wait_phase("forward")
            disk.read_only()
            self.refused(life, "cutover", "the state directory cannot be written")
            life.let_it_write(20)
            disk.writable()
            life.flip("cutover")

            # Moved away under a running sidecar: no flip, by it or past it, and it still carries changes.
            with SmallDisk(life.path("state"), "64m"):
                life.let_it_write(20)
                for command in (("rollback", "--yes"), ("run",)):
                    code, out, err = life.run(*command)
                    self.assertEqual(code, 1, out + err)
                    self.assertIn("this state directory knows nothing of it. Next: put the state directory back", err)
                    self.assertEqual(os.listdir(life.path("state/backups")) if os.path.exists(
                        life.path("state/backups")) else [], [])
            self.assertEqual(life.group()["primary"], "postgres")
            life.let_it_write(20)
            life.flip("rollback")
            life.stop_application()
            life.check()

    def test_a_full_disk_under_either_store(self):
        with Life(rows=100, rate=50, journal_mode="wal") as life, \
                SmallDisk(life.path("disk"), "64m", 0o755) as disk, \
                SmallDisk(life.path("space"), "64m", 0o777) as space:
            self.move_stores(life)
            life.start_sidecar()
            life.wait_phase("forward")
            life.start_application()
            life.let_it_write(10)
            space.fill()
            life.sqlite().execute("UPDATE tweets SET text = text || printf('%.*c', 3000, 'x')")
            wait_until(lambda: "No space left" in json.dumps(life.status()), "status tells of PostgreSQL's full disk")
            self.refused(life, "cutover", "the pump is|No space left")
            life.let_it_write(10)
            space.make_room()
            life.flip_when_ready("cutover")

            disk.fill()
            with life.postgres() as connection:
                connection.cursor().execute("UPDATE tweets SET text = text || repeat('y', 3000)")
            wait_until(lambda: "full" in json.dumps(life.status()), "status tells of SQLite's full disk")
            self.refused(life, "rollback", "the pump is|free at least")
            life.let_it_write(10)
            disk.make_room()
            life.flip_when_ready("rollback")
            life.stop_application()

    def move_sqlite(self, life):
        """Onto a disk of its own, with whatever lies beside it; everybody still finds it."""
        for name in os.listdir(life.folder):
            if name.startswith(life.store):
                shutil.move(life.path(name), life.path("disk"))
        os.symlink(os.path.join("disk", life.store), life.path(life.store))

    def move_stores(self, life):
        """The same, and every table of PostgreSQL."""
        self.move_sqlite(life)
        tablespace = life.path("space/pg")
        os.mkdir(tablespace)
        shutil.chown(tablespace, life.cluster.user)
        connection = life.postgres()
        connection.cursor().execute(f"CREATE TABLESPACE small LOCATION '{tablespace}'")
        connection.cursor().execute("ALTER DATABASE app SET default_tablespace = small")
        connection.close()

    def test_a_database_that_is_read_only(self):
        with Life(rows=100) as life, SmallDisk(life.path("disk"), "64m", 0o755) as disk:
            self.move_sqlite(life)
            disk.read_only()
            code, out, err = life.run("check")
            self.assertEqual(code, 1, out + err)
            self.assertRegex(out, "failure +old +.*Read-only file system\n +fix: mount")
            life.start_sidecar()
            wait_until(lambda: life.sidecar.poll() is not None or "trying again" in log(life), "the sidecar says no")
            self.assertRegex(log(life), "twitter.db.*read.?only|read.?only.*twitter.db")
            self.assertEqual(objects(life), [])
            disk.writable()
            if life.sidecar.poll() is not None:
                life.start_sidecar()
            life.wait_phase("forward")


if __name__ == "__main__":
    unittest.main()
