"""A life in which the sidecar dies at every failpoint there is. All points that have not killed yet are armed at once;
the first one that is reached kills; the next sidecar has the others armed and so dies while it recovers, too. What
comes first: the load, a log that is worth pruning, cutovers and what flows back, rollbacks and what flows forward, and
the removal. Between them the independent checker compares. At the end every name of the registry has killed, or the
test names the ones that did not: they guard nothing. There is such a life for each kind of old store.

A simulated power loss ends the application too, as a real one would: before anything is forgotten, so that no write
of it was acknowledged by a machine that had lost it.
"""
import os
import random
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from files_life import FilesLife  # noqa: E402
from life import PROGRAM, Life, wait_until  # noqa: E402

# In rollback-journal mode a COMMIT is durable by itself.
WAL_ONLY = ("sqlite.sink.sync.", "sqlite.sink.checkpoint.", "sqlite.sink.folder_sync.")
# What only a life with the other kind of store reaches, by the beginnings of the names.
OTHER_STORE = {Life: ("files.",), FilesLife: ("sqlite.",)}
# What nobody comes upon but who mends a bridge: test_doctor.py dies of all of them.
MENDING = ("sqlite.renew.", "mending.", "kept.", "resync.")
PRUNED_FROM = 20_000  # entries of the log; PruneLimits in watchers/sqlite/prune.h


def registry():
    """Every failpoint there is, or [] in a release build."""
    done = subprocess.run([PROGRAM, "failpoints"], capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else []


POINTS = registry() if PROGRAM else []


class MortalLife:
    """A Life whose sidecars die, and what killed them in which stage."""

    def __init__(self, life, action, every_stage_anew):
        self.life, self.action, self.every_stage_anew = life, action, every_stage_anew
        self.points = [point for point in POINTS if not point.startswith(OTHER_STORE[type(life)])]
        self.killed = {}  # stage: points
        self.stage = None
        self.armed = []
        self.starts = 0

    def enter(self, stage):
        self.stage = stage
        self.killed.setdefault(stage, set())

    def killers(self):
        return set().union(*self.killed.values())

    def to_arm(self):
        """What has yet to kill in this stage. Each of the two flips has to survive all it meets, whatever killed in
        the other."""
        spared = set(self.killed[self.stage])
        if not self.every_stage_anew:
            spared |= self.killed["start"]
        return [point for point in self.points if point not in spared]

    def environment(self, armed):
        self.armed = armed
        self.starts += 1
        application = self.life.application
        return {"SWITCHBACK_POWER_PEER": str(application.pid) if application.poll() is None else "",
                "SWITCHBACK_FAILPOINT": ",".join(f"{point}={self.action}" for point in armed),
                "SWITCHBACK_FAILPOINT_LOG": self.life.path(f"failpoints{self.starts}.log"),
                "SWITCHBACK_POWER_LOSS": "1",
                "SWITCHBACK_POWER_SEED": str(random.Random(self.starts).randrange(1, 1 << 30))}

    def note_death(self, code):
        """The last point that this process logged killed it, if it was armed. Else the watchdog did: a slow machine."""
        assert code == -signal.SIGKILL, f"the sidecar ended with {code} instead of dying"
        with open(self.life.path(f"failpoints{self.starts}.log"), encoding="utf-8") as log:
            last = log.read().split()[-1]
        if last not in self.armed:
            return
        self.killed[self.stage].add(last)
        if self.action == "power":
            self.life.application.kill()  # if the sidecar had opened no database yet, it has left it alone
            if self.life.application.wait(60) == -signal.SIGKILL:
                self.life.start_application()

    def dead(self):
        """True once the sidecar has died; notes of what."""
        if self.life.sidecar is None:
            return True
        code = self.life.sidecar.poll()
        if code is None:
            return False
        self.life.sidecar = None
        self.note_death(code)
        return True

    def stop(self):
        """Ends the sidecar that stands, by SIGTERM; a point on its way out may be quicker."""
        if self.life.sidecar is None:
            return
        self.life.sidecar.send_signal(signal.SIGTERM)
        if self.life.sidecar.wait(60) == 0:
            self.life.sidecar = None
        else:
            self.dead()

    def stand(self, armed=None):
        """Starts sidecars until one stands that has `armed` armed, else what this stage has left."""
        while True:
            wanted = self.to_arm() if armed is None else armed
            if self.life.sidecar is not None and self.armed == wanted:
                return
            self.stop()
            self.life.start_sidecar(**self.environment(wanted))
            wait_until(lambda: self.dead() or self.life.settled(), "the sidecar settles or dies", 120)

    def quiet(self):
        """Nobody writes; all is across and the checker agrees. The application is left stopped."""
        self.stand([])
        self.life.stop_application()
        self.life.check(90)

    # -- the stages

    def start(self):
        """Install, load, forward."""
        self.enter("start")
        self.stand()
        self.quiet()
        if any(point.startswith("sqlite.prune.") for point in self.points):
            self.prune()

    def prune(self):
        """Only a database with much to prune is pruned. Nobody reads it while the power can fail."""
        application = self.life.sqlite()
        application.execute("BEGIN IMMEDIATE")
        entries = 0
        while entries <= PRUNED_FROM:
            application.execute("UPDATE tweets SET text = text")
            entries = application.execute("SELECT max(seq) - min(seq) FROM _switchback_log").fetchone()[0]
        application.execute("COMMIT")
        application.close()
        tries = 0
        while any(point.startswith("sqlite.prune.") for point in self.to_arm()):
            tries += 1
            assert tries < 10, "the log is not pruned"
            self.stop()  # one that came too early tries again in minutes only; a new one at once
            self.stand()
            try:
                self.life.sidecar.wait(15)
            except subprocess.TimeoutExpired:
                continue
            self.dead()

    def flips(self):
        """There and back until neither flip, nor what flows after it, dies of anything any more."""
        self.stop()
        self.life.start_application()  # and only then the sidecars whose power loss ends it
        clean = set()
        refused = 0
        while clean != {"cutover", "rollback"}:
            self.stand()
            direction = self.life.direction()
            if direction != self.stage:  # at first, after a flip, or after a death that came too late to undo one
                self.enter(direction)
                continue
            code, out, err = self.life.run(direction, "--yes", "--json", *self.life.flip_options)
            refused += code != 0 and not self.dead()
            assert refused < 20, out + err
            target = self.life.acknowledged() + 10
            wait_until(lambda: self.dead() or self.life.acknowledged() >= target, "dead, or writes go on", 90)
            if code == 0 and self.life.sidecar is not None:
                clean.add(direction)
        if self.life.direction() == "rollback":
            self.stand([])
            self.life.flip("rollback", *self.life.flip_options)
        self.quiet()

    def end(self):
        """The removal, typed again until it is through."""
        self.stop()
        self.enter("end")
        code = None
        while code != 0:
            code, out, err = self.life.run("abandon", "--yes", **self.environment(self.to_arm()))
            assert code in (0, -signal.SIGKILL), out + err
            if code != 0:
                self.note_death(code)


@unittest.skipUnless(POINTS, "failpoints exist in test builds only")
class Crash(unittest.TestCase):
    """One whole life each."""

    def play(self, action, life, every_stage_anew=False, points=lambda name: True):
        with life:
            mortal = MortalLife(life, action, every_stage_anew)
            mortal.points = list(filter(points, mortal.points))
            life.start_application()
            mortal.start()
            mortal.flips()
            mortal.end()
            self.assertEqual(life.traces(), [])
            deaths = {stage: len(points) for stage, points in mortal.killed.items()}
            print(f"{self.id()}: {mortal.starts} starts, deaths {deaths}", flush=True)
            beyond = (*MENDING, *(WAL_ONLY if life.journal_mode == "delete" else ()))
            missed = [point for point in mortal.points
                      if point not in mortal.killers() and not point.startswith(beyond)]
            self.assertEqual(missed, [], "points that no sidecar died of")

    def sqlite(self, journal_mode):
        return Life(rows=300, rate=50, journal_mode=journal_mode)

    def files(self):
        """All that is written stays, and is compared again before each flip: a slow machine must keep up with it."""
        return FilesLife(rows=60, rate=20)

    def test_sigkill_in_rollback_journal_mode(self):
        self.play("crash", self.sqlite("delete"))

    def test_power_loss_in_wal_mode(self):
        self.play("power", self.sqlite("wal"))

    def test_sigkill_in_wal_mode_every_stage_anew(self):
        self.play("crash", self.sqlite("wal"), every_stage_anew=True)

    def test_power_loss_in_rollback_journal_mode_every_stage_anew(self):
        self.play("power", self.sqlite("delete"), every_stage_anew=True)

    def test_sigkill_with_files(self):
        self.play("crash", self.files())

    def test_power_loss_with_files(self):
        self.play("power", self.files())

    def test_power_loss_before_each_step_with_files(self):
        """Of the steps that a life with SQLite knows as well, only before: half the time."""
        self.play("power", self.files(), points=lambda name: name.endswith(".before") or "files." in name)


if __name__ == "__main__":
    unittest.main()
