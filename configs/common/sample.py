"""What every sample maker shares: spellings, invented phrases, and the making of a SQLite file or a folder of JSON
files."""
import argparse
import json
import os
import random
import sqlite3
import sys
import time

START = 1_700_000_000          # 2023-11-14, the first row's second
FIRST = ["ada", "bram", "chloe", "dmitri", "elif", "femi", "greta", "hana", "ivo", "jun", "kofi", "lena", "mateo",
         "nour", "oskar", "priya", "quinn", "rosa", "sven", "tove", "uma", "viktor", "wren", "ximena", "yusuf", "zoë"]
LAST = ["alder", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "isle", "juniper", "kelp", "larch"]
PHRASES = [
    "shipping the new build tonight", "it's \"done\", they said", "c'est l'été à Zürich", "path was C:\\temp\\new",
    "first line\nsecond line", "tab\tseparated\tthoughts", "好的, 明天见", "so proud of the team 🎉🚀", "100% sure, 0% proof",
    "reading about databases; again", "👩‍💻 pairing on the parser", "{\"not\": \"json\"}", "gm ☕", "a -- comment?",
    "$HOME sweet $HOME", "línea única ñandú", "does anyone still use \\N for null", "threads > tweets < blogs & <b>bold</b>",
    "windows line\r\nend", "coffee, then the long walk by the harbour", "the trains were on time, for once",
    "notes from the talk on write-ahead logs", "Ω is not an ohm sign", "قهوة الصباح"]


def sqlite_date(second):
    """The spelling of CURRENT_TIMESTAMP."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))


def iso_ms_z(second, millis):
    """The spelling of JavaScript's toISOString()."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{millis:03d}Z"


def text_json(value):
    """As JavaScript's JSON.stringify: compact and raw UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def insert(db, table, columns, rows):
    """One executemany per table."""
    marks = ",".join("?" * len(columns.split(",")))
    db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def make(path, schema, fill, journal_mode):
    """Create the database; an existing file is never overwritten. `fill(db)` runs in one transaction. In journal mode
    "wal" everything but the first page stays in the -wal, as a process leaves it that was killed."""
    if os.path.exists(path):
        raise FileExistsError(f"{path} exists; remove it first or choose another --out")
    child = os.fork() if journal_mode == "wal" else 0       # closing the database would move the -wal into it
    if child:
        _, status = os.waitpid(child, 0)
        if status:
            raise OSError(f"the process that filled {path} ended with {os.waitstatus_to_exitcode(status)}")
    else:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute(f"PRAGMA journal_mode = {journal_mode}")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -65536")
        db.execute("BEGIN")
        for statement in schema.split(";\n"):
            db.execute(statement)
        fill(db)
        db.execute("COMMIT")
        if journal_mode == "wal":
            os._exit(0)
        db.close()
    for name in (path, path + "-wal"):      # synchronous was off: put it on disk once, now that nobody has it open
        if os.path.exists(name):
            with open(name, "rb") as done:
                os.fsync(done.fileno())


def python_json(path, value, indent=2):
    """As Python's json.dump: everything beyond ASCII escaped, no newline at the end."""
    with open(path, "w", encoding="ascii") as file:
        file.write(json.dumps(value, indent=indent))


def arguments(system, out, rows_are):
    """The options of every sample maker."""
    parser = argparse.ArgumentParser(description=f"Make a sample store of the {system} system.",
                                     epilog=f"example: make_sample.py --out {out} --rows 20000 --seed 1")
    parser.add_argument("--out", required=True)
    parser.add_argument("--rows", type=int, default=10_000, help=rows_are)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def files_main(system, fill, rows_are):
    """What a system of files has at the end of its make_sample.py. `fill(folder, rng, rows)` writes, `rows` files in
    the largest folder. What exists is never overwritten."""
    args = arguments(system, "data", rows_are).parse_args()
    try:
        os.mkdir(args.out)
        fill(args.out, random.Random(args.seed), args.rows)
    except OSError as error:
        sys.exit(f"make_sample.py: {error}")


def main(system, schema, fill, journal_mode, rows_are):
    """What a SQLite system's make_sample.py ends with. `fill(db, rng, rows)` inserts, `rows` of the largest table."""
    parser = arguments(system, "app.db", rows_are)
    parser.add_argument("--journal-mode", choices=["delete", "wal"], default=journal_mode)
    args = parser.parse_args()
    try:
        make(args.out, schema, lambda db: fill(db, random.Random(args.seed), args.rows), args.journal_mode)
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"make_sample.py: {error}")
