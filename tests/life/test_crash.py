"""Crashes at every failpoint of the sidecar's life, with and without the loss of what was not synced. The registry is
enumerated; each point is armed in turn in the run that can reach it, the sidecar dies there, a new one finishes, and at
the end the independent checker compares. A point that no run reached is a failure: it guards nothing.

A simulated power loss ends the application too, as a real one would, so that no write of it stands on bytes that the
sidecar's machine never had.
"""
import os
import random
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402

# Which run reaches a point, by the beginning of its name; what is not named here is reached by flips.
STARTING = ("sqlite.install.", "sqlite.backup.", "pg.schema.", "pg.install.", "load.", "file.", "state.", "run_dir.",
            "audit.")
ENDING = ("sqlite.remove.", "pg.remove.")
# Points that need more than a short life: a log worth pruning (minutes of quiet), a -wal of 32 MiB. The tests of
# watchers/sqlite go there with smaller limits; here they are armed too, and may pass unhit.
FAR = ("sqlite.prune.", "sqlite.sink.checkpoint.", "sqlite.sink.folder_sync.")


def registry():
    """Every failpoint there is, or [] in a release build."""
    done = subprocess.run([PROGRAM, "failpoints"], capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


POINTS = registry() if PROGRAM else []


class CrashTest(unittest.TestCase):
    """What both actions share."""

    def survive(self, life, point, action):
        """The armed sidecar has died, or dies now; the application goes on, or comes back after a power loss."""
        self.assertEqual(life.sidecar.wait(90), -signal.SIGKILL, point)
        if action == "power" and life.application:
            life.application.kill()
            life.application.wait()
            life.start_application()

    def start_armed(self, life, point, action):
        seed = str(random.Random(point).randrange(1, 1 << 30))
        life.start_sidecar(SWITCHBACK_FAILPOINT=f"{point}={action}", SWITCHBACK_POWER_LOSS="1",
                           SWITCHBACK_POWER_SEED=seed)

    def finish(self, life):
        if life.sidecar.poll() is not None:
            life.start_sidecar()
        wait_until(lambda: life.group().get("phase") in ("forward", "reverse"), "the restarted sidecar settles", 90, 0.1)

    def hit(self, life):
        with open(life.path("failpoints.log"), encoding="utf-8") as log:
            return set(log.read().split())

    def play_start(self, action, reached):
        """Every point of install and load: die there, start again, die at the next."""
        points = [point for point in POINTS if point.startswith(STARTING)]
        with Life(rows=300, rate=50) as life:
            life.start_application()
            for point in points:
                self.start_armed(life, point, action)
                wait_until(lambda: life.sidecar.poll() is not None or life.group().get("phase") == "forward",
                           f"{point} or forward", 90, 0.1)
                if life.sidecar.poll() is None:
                    life.stop_sidecar()  # this point lies behind us: a fresh life below reaches it
                    continue
                self.survive(life, point, action)
            self.finish(life)
            life.let_it_write(20)
            life.stop_application()
            life.check()
            reached |= self.hit(life)

    def play_flips(self, action, reached, journal_mode):
        """Every other point: there and back until the sidecar dies of it."""
        points = [point for point in POINTS if not point.startswith(STARTING + ENDING)]
        with Life(rows=300, rate=100, journal_mode=journal_mode) as life:
            life.start_application()
            life.start_sidecar()
            life.wait_phase("forward")
            for point in points:
                life.stop_sidecar()
                self.start_armed(life, point, action)
                for _ in range(2):
                    wait_until(lambda: life.sidecar.poll() is not None
                               or life.group().get("phase") in ("forward", "reverse"), f"{point}: settled", 90, 0.1)
                    if life.sidecar.poll() is not None:
                        break
                    there = "cutover" if life.group().get("primary") == "old" else "rollback"
                    life.run(there, "--yes", "--json")
                    # After a death both sides may refuse writes until somebody finishes the flip.
                    target = life.acknowledged() + 5
                    wait_until(lambda: life.sidecar.poll() is not None or life.acknowledged() >= target,
                               f"{point}: dead, or writes go on", 60, 0.05)
                    if life.sidecar.poll() is not None:
                        break
                if life.sidecar.poll() is not None:
                    self.survive(life, point, action)
                    self.finish(life)
                    life.let_it_write(5)
            life.stop_application()
            life.check(60)
            reached |= self.hit(life)
            self.play_end(life, action)
            reached |= self.hit(life)

    def play_end(self, life, action):
        """Every point of taking the bridge off, from forward."""
        if life.group().get("primary") == "postgres":
            life.flip("rollback")
        life.stop_sidecar()
        for point in (point for point in POINTS if point.startswith(ENDING)):
            life.run("abandon", "--yes", SWITCHBACK_FAILPOINT=f"{point}={action}", SWITCHBACK_POWER_LOSS="1")
        code, out, err = life.run("abandon", "--yes")
        self.assertEqual(code, 0, out + err)


@unittest.skipUnless(POINTS, "failpoints exist in test builds only")
class Crash(CrashTest):
    """SIGKILL at each point."""

    def test_every_point(self):
        reached = set()
        self.play_start("crash", reached)
        self.play_flips("crash", reached, "delete")
        self.play_flips("crash", reached, "wal")
        missed = [point for point in POINTS if point not in reached and not point.startswith(FAR)]
        self.assertEqual(missed, [], "points that no run reached")


@unittest.skipUnless(POINTS, "failpoints exist in test builds only")
class PowerLoss(CrashTest):
    """The same, and what was not synced is forgotten or torn."""

    def test_start(self):
        self.play_start("power", set())

    def test_flips_in_rollback_journal_mode(self):
        self.play_flips("power", set(), "delete")

    def test_flips_in_wal_mode(self):
        self.play_flips("power", set(), "wal")


if __name__ == "__main__":
    unittest.main()
