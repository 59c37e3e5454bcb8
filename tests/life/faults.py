"""What the tests of faults have in common: a flip that is refused must change nothing that anybody can see."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def log(life):
    with open(life.path("sidecar.log"), encoding="utf-8", errors="replace") as text:
        return text.read()


def objects(life):
    """What SQLite's schema holds of the bridge."""
    database = life.sqlite()
    found = database.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%switchback%'").fetchall()
    database.close()
    return found


class FaultTest(unittest.TestCase):
    """What these tests have in common."""

    def refused(self, life, command, pattern, *options):
        """A flip that says no: exit code 1, a reason, and everything as before."""
        before = self.standing(life)
        code, out, err = life.run(command, "--yes", "--json", *options)
        self.assertEqual(code, 1, out + err)
        self.assertRegex(out + err, pattern)
        self.assertEqual(self.standing(life), before)

    def standing(self, life):
        """Epoch and primary as everybody is told, and both gates as they stand."""
        group = life.group()
        with open(life.path("switchback.run/primary"), encoding="utf-8") as hint:
            told = json.load(hint)
        with life.postgres() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT gate, epoch, primary_side, phase FROM switchback.group_state")
            postgres = cursor.fetchall()
            cursor.execute("SELECT tgname, tgrelid::regclass::text, tgenabled FROM pg_trigger "
                           "WHERE tgname LIKE 'switchback%' ORDER BY 1, 2")
            fences = cursor.fetchall()
        database = life.sqlite()
        gate = database.execute("SELECT * FROM _switchback_gate").fetchall()
        database.close()
        return {"primary": group.get("primary"), "epoch": group.get("epoch"), "phase": group.get("phase"),
                "told": told, "postgres": postgres, "fences": fences, "old": gate, "objects": objects(life)}

    def ends(self, life, code, pattern):
        """The sidecar ends by itself and says why."""
        self.assertEqual(life.sidecar.wait(60), code, log(life))
        self.assertRegex(log(life), pattern)
