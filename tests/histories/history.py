"""Makes a random history from a seed: a schema, the application's writes on whichever side is primary, and what befalls
the sidecar meanwhile."""
import random

from postgres_writes import PostgresWrites
from schema import Schema
from sqlite_writes import SqliteWrites

# Failpoints that a running sidecar passes, by the side that is primary.
FORWARD = ["pg.sink.commit.before", "pg.sink.commit.after"]
REVERSE = ["sqlite.sink.commit.before", "sqlite.sink.commit.after", "sqlite.sink.sync.before", "sqlite.sink.sync.after",
           "pg.feedback.before", "pg.feedback.after"]
STARTING = ["sqlite.install.commit.before", "sqlite.install.commit.after", "pg.install.commit.before",
            "pg.install.commit.after", "load.copy.commit.before", "load.copy.commit.after", "load.key.commit.after",
            "load.rest.commit.before", "load.step.commit.after", "file.rename.before"]
FLIPPING = ["flip.journal.decide.before", "flip.journal.decide.after", "flip.close.before", "flip.close.after",
            "flip.open.before", "flip.open.after", "flip.journal.clear.after", "pg.slot.create.after",
            "pg.gate.open.commit.before", "pg.gate.open.commit.after", "sqlite.gate.close.commit.after",
            "sqlite.gate.open.commit.before", "sqlite.gate.close.commit.before", "pg.gate.close.commit.after"]


class Maker:
    """Builds the steps."""

    points = {"old": FORWARD, "postgres": REVERSE, "starting": STARTING, "flipping": FLIPPING}

    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        self.schema = Schema(rng)
        self.odd = rng.random() < 0.25
        self.stays = self.odd or self.schema.keeps_orphans  # rows in quarantine block a flip
        self.old = SqliteWrites(rng, self.schema, self.odd)
        self.new = PostgresWrites(rng, self.schema)
        self.side = "old"
        self.steps = []

    def script(self):
        """The whole history."""
        rng = self.rng
        mode = rng.choice(["wal", "delete"])
        foreign_keys = [f"PRAGMA foreign_keys = {'ON' if self.schema.foreign_keys else 'OFF'}"]
        habits = {str(number): foreign_keys + [self.recursion()] +
                  ([f"PRAGMA synchronous = {rng.choice(['OFF', 'NORMAL', 'FULL'])}"])
                  for number in range(3)}
        self.write_old(rng.randint(2, 8))
        self.tell()
        return {"journal_mode": mode, "habits": habits, **self.schema.script(), "steps": self.steps}

    def recursion(self):
        """Triggers that fire triggers. Off where a delete acts on its own table by ON DELETE: SQLite refuses some UPDATE OR
        REPLACE there if anybody has a DELETE trigger (found/update_or_replace_with_a_cascade_into_itself.json)."""
        on = self.rng.choice(["ON", "OFF"])
        return f"PRAGMA recursive_triggers = {'OFF' if self.schema.acts_on_itself() else on}"

    def tell(self):
        """What happens from the first sidecar on."""
        rng = self.rng
        self.steps.append(["start", self.armed(self.points["starting"], 0.2)])
        for _ in range(rng.randint(1, 3)):
            self.chapter()
            if not self.stays and rng.random() < 0.7:
                self.flip()
        if not self.stays and rng.random() < 0.1:
            self.steps.append(["abandon"])

    def armed(self, points, chance, action="crash"):
        """The environment of a sidecar that dies at one of the points, or of one that does not."""
        if self.rng.random() > chance:
            return {}
        return {"SWITCHBACK_FAILPOINT": f"{self.rng.choice(points)}={action}@{self.rng.choice([1, 1, 2, 3])}",
                "SWITCHBACK_POWER_SEED": str(self.rng.randrange(1, 1 << 30))}

    def write_old(self, count):
        """Transactions on SQLite."""
        for _ in range(count):
            number = self.rng.choice([0, 0, 0, 1, 1, 2])
            self.old.prefix = "app." if number == 2 else ""
            if number != 2 and self.rng.random() < 0.08:
                self.steps.append(["sqlite", number, self.old.attached()])
            elif self.rng.random() < 0.02:
                self.steps.append(["sqlite", number, self.old.large()])
            elif number != 2 and self.rng.random() < 0.03:
                self.steps.append(["sqlite", number, ["VACUUM"]])
            else:
                self.steps.append(["sqlite", number, self.old.transaction()])
            if self.rng.random() < 0.05:
                self.steps.append(["pragma", number, self.recursion()])

    def write_new(self, count):
        """Transactions on PostgreSQL."""
        for _ in range(count):
            lines = self.new.large(self.rng.choice([300, 5000])) if self.rng.random() < 0.02 else self.new.transaction()
            self.steps.append(["postgres", lines])

    def write_prepared(self):
        """A transaction that is prepared before other writes and crashes, and ends after them."""
        name = f"long{len(self.steps)}"
        self.steps.append(["postgres", ["BEGIN", self.new.statement(), self.new.statement(), f"PREPARE TRANSACTION '{name}'"]])
        self.write_new(self.rng.randint(1, 3))
        if self.rng.random() < 0.5:
            self.steps += [["kill"], ["start", {}]]
        self.steps.append(["postgres", [self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]) + f" PREPARED '{name}'"]])

    def write(self, count):
        """On whichever side is primary."""
        (self.write_old if self.side == "old" else self.write_new)(count)

    def chapter(self):
        """Writes, with something befalling the sidecar between them."""
        rng = self.rng
        points = self.points[self.side]
        for _ in range(rng.randint(1, 3)):
            self.write(rng.randint(3, 12))
            if self.side == "postgres" and rng.random() < 0.15:
                self.write_prepared()
            event = rng.random()
            if event < 0.15:
                self.steps += [["kill"]]
                self.write(rng.randint(1, 6))
                self.steps.append(["start", self.armed(points, 0.3)])
            elif event < 0.3:
                self.steps.append(["start", self.armed(points, 1)])
            elif event < 0.4:
                self.steps.append(["stop"])
                self.write(rng.randint(1, 6))
                self.steps.append(["die", self.armed(points, 1, "power")])
                if rng.random() < 0.5:
                    self.write(rng.randint(1, 4))
            elif event < 0.43:
                self.steps.append(["pg_crash"])
            elif event < 0.75:
                self.steps.append(["sync"])
                if rng.random() < 0.4:
                    self.steps.append(["probe"])

    def flip(self):
        """To the other side; sometimes the sidecar dies on the way."""
        self.side = "postgres" if self.side == "old" else "old"
        if self.rng.random() < 0.1:
            self.steps.append(["blocked_flip", self.side])
            before, self.side = self.side, "postgres" if self.side == "old" else "old"
            self.write(self.rng.randint(1, 4))
            self.side = before
        if self.rng.random() < 0.25:
            self.steps.append(["start", self.armed(self.points["flipping"], 1)])
        elif self.rng.random() < 0.15:
            self.steps.append(["start", {**self.armed(self.points["flipping"], 1, "power"), "SWITCHBACK_POWER_LOSS": "1"}])
        self.steps.append(["flip_alone" if self.rng.random() < 0.1 else "flip", self.side])
        if self.rng.random() < 0.5:
            self.steps.append(["sync"])


def make(seed):
    """The history of a seed."""
    return {"seed": seed, **Maker(seed).script()}
