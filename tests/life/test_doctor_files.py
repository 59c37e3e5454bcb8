"""`switchback doctor` for a store of files: a store that is not mounted, a fence that somebody took off, and a ledger that
was lost. Neither side's rows go, nor does the fence."""
import glob
import json
import os
import pty
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from files_life import USER, FilesLife  # noqa: E402
from life import PROGRAM, wait_until  # noqa: E402
from test_doctor import Mended, of_postgres  # noqa: E402


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Files(Mended):
    """The old store is the council's files."""

    def test_a_life_of_mishaps(self):
        with FilesLife(rows=20) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            self.store_away(life)
            before = self.modes(life)
            life.flip_when_ready("cutover")
            life.wait_phase("reverse")
            self.fence_taken_off(life)
            life.flip_when_ready("rollback")
            self.assertEqual(self.modes(life), before)
            life.flip_when_ready("cutover")
            self.ledger_lost(life)
            life.flip_when_ready("rollback")
            self.written_again(life)

    def paths(self, life):
        return [os.path.join(folder, name) for folder, _, files in os.walk(life.path(life.store))
                for name in ["", *files] if name != ".lock"]

    def modes(self, life):
        return {path: os.stat(path).st_mode & 0o7777 for path in self.paths(life)}

    def fenced(self, life):
        """Nobody but root can write to any file, or make one."""
        self.assertEqual([path for path, mode in self.modes(life).items() if mode & 0o222], [])

    def subscription(self, life, number=0):
        return sorted(glob.glob(life.path(f"{life.store}/subscriptions/*.json")))[number]

    def write(self, path, tier):
        """As the application's user, in place."""
        with open(path, encoding="utf-8") as file:
            text = json.dumps({**json.load(file), "tier": tier}, indent=2)
        subprocess.run(["runuser", "-u", USER, "--", "tee", path] if os.geteuid() == 0 else ["tee", path],
                       input=text, text=True, stdout=subprocess.DEVNULL, check=True)

    def tier(self, life, path):
        key = os.path.basename(path)[:-5]
        return of_postgres(life, f"SELECT tier FROM subscriptions WHERE user_id = '{key}'")[0][0]

    def set_tier(self, life, path, tier):
        """In PostgreSQL; until the file says so, too."""
        with life.postgres().cursor() as cursor:
            cursor.execute("UPDATE subscriptions SET tier = %s WHERE user_id = %s", (tier, os.path.basename(path)[:-5]))
        self.wait_tier(path, tier)

    def wait_tier(self, path, tier):
        def says():
            with open(path, encoding="utf-8") as file:
                return json.load(file)["tier"] == tier
        wait_until(says, f"{path} says {tier}")

    def starts_again(self, life):
        life.start_sidecar()
        wait_until(life.settled, "the sidecar settles")
        self.fenced(life)
        self.identical(life)

    def store_away(self, life):
        """The files are primary, and their disk is not mounted."""
        store, away = life.path(life.store), life.path("away")
        rows = of_postgres(life, "SELECT count(*) FROM subscriptions")
        life.stop_sidecar()
        os.rename(store, away)
        for make, words in ((lambda: None, "is not there"), (lambda: os.mkdir(store), " files are gone")):
            make()
            for command in (["doctor"], ["doctor", "--fix", "--yes"]):
                code, out, err = life.run(*command)
                self.assertEqual(code, 1, out + err)
                self.assertIn(words, out + err)
            self.assertEqual(of_postgres(life, "SELECT count(*) FROM subscriptions"), rows)
        os.rmdir(store)
        os.rename(away, store)
        report = self.fix(life)
        self.assertEqual((report["primary"], report["applied"], report["removed"]), ("old", 0, 0))
        life.start_sidecar()
        life.wait_phase("forward")

    def fence_taken_off(self, life):
        """Somebody makes a file writable, and it is written to."""
        path = self.subscription(life)
        self.set_tier(life, path, "monthly")
        life.stop_sidecar()
        os.chmod(path, 0o644)
        self.write(path, "astray")
        life.start_sidecar()
        self.assertEqual(life.sidecar.wait(60), 1)
        code, out, _ = life.run("doctor")
        self.assertEqual(code, 1)
        for words in ("old       torn at epoch 2", "wrong: the fence of old is not as its gate says",
                      "public.subscriptions: 0 rows only in old, 0 only in postgres, 1 that differ"):
            self.assertIn(words, out)
        report = self.fix(life)
        self.assertEqual((report["primary"], report["applied"]), ("postgres", 1))
        self.fenced(life)
        self.assertIn("astray", [row.get("tier") for row in self.kept(report)])
        self.wait_tier(path, "monthly")
        self.starts_again(life)

    def ledger_lost(self, life):
        """The modes from before the fence are lost with it."""
        path = self.subscription(life)
        life.stop_sidecar()
        for name in glob.glob(life.path("state/files.ledger*")):
            os.remove(name)
        code, out, err = life.run("doctor")
        self.assertEqual(code, 1, out + err)
        told = ("the ledger of the files is gone", "what differs cannot be told before that is mended",
                "--fix makes old as postgres is, which is primary then")
        for words in told:
            self.assertIn(words, out)
        code, out, err = self.asked(life, "n")
        self.assertEqual(code, 1, out + err)
        for words in told:
            self.assertIn(words, out)
        self.assertIn("Do it?", err)
        self.assertEqual(glob.glob(life.path("state/files.ledger")), [], "answered no, and something was made")
        self.assertEqual(self.fix(life)["primary"], "postgres")
        self.starts_again(life)
        self.set_tier(life, path, "yearly")

    def asked(self, life, answer):
        """`doctor --fix` at a terminal, where somebody answers."""
        ours, theirs = pty.openpty()
        os.write(ours, answer.encode() + b"\n")
        done = subprocess.run([PROGRAM, "-c", life.path("switchback.toml"), "doctor", "--fix"], stdin=theirs,
                              capture_output=True, text=True, timeout=90, env=life.environment())
        os.close(ours)
        os.close(theirs)
        return done.returncode, done.stdout, done.stderr

    def written_again(self, life):
        self.assertEqual([path for path, mode in self.modes(life).items() if not mode & 0o200], [])
        path = self.subscription(life)
        self.write(path, "free")
        wait_until(lambda: self.tier(life, path) == "free", "what the application writes flows")


if __name__ == "__main__":
    unittest.main()
