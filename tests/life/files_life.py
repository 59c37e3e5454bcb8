"""A Life whose old store is the LLM Council's folder of JSON files."""
import os
import sqlite3

from life import Life

USER = "nobody"  # mode bits, which are the fence, refuse nothing to root


class FilesLife(Life):
    """What the other one asks of a SQLite database is asked of the ledger and of the files themselves here. A flip's
    pause is not what its tests are about."""
    flip_options = ["--max-pause", "5s"]

    def __init__(self, **options):
        super().__init__(system="llmcouncil", user=USER, **options)

    def direction(self):
        ledger = sqlite3.connect(f"file:{self.path('state/files.ledger')}?mode=ro", uri=True, timeout=10)
        door = ledger.execute("SELECT door FROM gate").fetchone()[0]
        ledger.close()
        return "cutover" if door == "open" else "rollback"

    def traces_in_store(self):
        left = [name for name in os.listdir(self.path("state")) if name.startswith("files.ledger")]
        for folder, _, files in os.walk(self.path(self.store)):
            for path in [folder, *(os.path.join(folder, name) for name in files)]:
                if not os.stat(path).st_mode & 0o200 or os.path.basename(path).startswith(".switchback"):
                    left.append(path)
        return left
