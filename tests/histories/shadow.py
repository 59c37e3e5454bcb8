"""The same application on a database that the bridge has never seen. Capture must change nothing for it: each statement
fails or succeeds on both, and both hold the same rows, in the same types."""
import glob
import os
import sqlite3

from compare import decode


class Shadow:
    """Made anew from the store whenever something else than the application has written there."""

    def __init__(self, folder, habits):
        self.folder, self.habits = folder, habits
        self.connections = {}
        self.current = False

    def path(self, name):
        """In the history's folder."""
        return os.path.join(self.folder, name)

    def copy(self):
        """The store as it is now, without the bridge's objects, and what the application attaches beside it."""
        self.close()
        for path in glob.glob(self.path("shadow*.db*")):
            os.remove(path)
        for path in glob.glob(self.path("other*.db")) + [self.path("beside.db")]:
            if os.path.exists(path):
                self.copy_database(path, self.path("shadow_" + os.path.basename(path))).close()
        target = self.copy_database(self.path("store.db"), self.path("shadow.db"))
        for kind in ("trigger", "table"):
            for name, in target.execute("SELECT name FROM sqlite_schema WHERE type = ? AND name LIKE '\\_switchback\\_%' "
                                        "ESCAPE '\\'", (kind,)).fetchall():
                target.execute(f'DROP {kind} "{name}"')
        target.commit()
        target.close()
        self.current = True

    @staticmethod
    def copy_database(path, to):
        """A connection to the copy."""
        source, target = sqlite3.connect(path, timeout=30), sqlite3.connect(to)
        source.backup(target)
        source.close()
        return target

    def close(self):
        """All connections."""
        for made in self.connections.values():
            made.close()
        self.connections.clear()

    def connection(self, number):
        """The counterpart of one of the application's."""
        if number not in self.connections:
            main, beside, name = ("shadow.db", f"shadow_other{number}.db", "other") if number != 2 else \
                ("shadow_beside.db", "shadow.db", "app")
            made = sqlite3.connect(self.path(main), timeout=30, isolation_level=None)
            made.execute(f"ATTACH ? AS {name}", (self.path(beside),))
            for line in self.habits.get(str(number), []):
                made.execute(line)
            made.execute("PRAGMA synchronous = OFF")
            self.connections[number] = made
        return self.connections[number]

    def follow(self, number, application):
        """The counterpart is set as the application's own connection is now: a copy's connections are new ones."""
        for name in ("foreign_keys", "recursive_triggers"):
            now, = application.execute(f"PRAGMA {name}").fetchone()
            self.connection(number).execute(f"PRAGMA {name} = {now}")

    def run(self, number, line):
        """Why the statement fails; None if it does not."""
        try:
            self.connection(number).execute(line).fetchall()
            return None
        except (sqlite3.Error, sqlite3.Warning) as error:
            return error

    def differences(self, tables):
        """Lines of what the store and the shadow do not have in common."""
        lines = []
        held = []
        for name in ("store.db", "shadow.db"):
            look = sqlite3.connect(self.path(name), timeout=30)
            look.text_factory = decode
            held.append({table["name"]: sorted(repr(row) for row in look.execute(f"SELECT * FROM {table['name']}"))
                         for table in tables})
            look.close()
        for table in tables:
            store, shadow = held[0][table["name"]], held[1][table["name"]]
            if store != shadow:
                lines.append(f"{table['name']} with the bridge: {set(store) - set(shadow)}, without: "
                             f"{set(shadow) - set(store)}")
        return lines
