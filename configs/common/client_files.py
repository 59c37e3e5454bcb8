"""The old side of an application that keeps its data in JSON files, as such applications write: read the whole file,
change it, truncate it, stream the new text. Who reads meanwhile sees half of it; who is killed meanwhile leaves half.

What the bridge asks of it: a lock around each unit of work (flock on `.lock` in the store's folder), and to take a
file or folder without write bits for the fence.
"""
import contextlib
import errno
import fcntl
import glob
import json
import os
import signal
import sqlite3
import time
from datetime import datetime

from client_units import Broken, Lost, Refused, Retry

LOCK_AGAIN_S = 0.001
FENCED = (errno.EACCES, errno.EPERM, errno.EROFS)


def add_options(parser):
    """Habits that matter to a bridge."""
    parser.add_argument("--busy-timeout-ms", type=int, default=5000, help="how long the lock is waited for")
    parser.add_argument("--die-writing", type=int, default=0, metavar="N",
                        help="SIGKILL oneself in the middle of the Nth write of a file")


def spelled(value):
    """A date as datetime.isoformat() has it: without a zone, and without a fraction when there is none."""
    return value.isoformat() if isinstance(value, datetime) else value


class Records:
    """A table whose rows are files, named by their key."""

    def __init__(self, folders, new, spot=lambda document, column: (document, column)):
        """`new(key, values)`: the document of a new row; `spot(document, column)`: the object and the member that hold
        a column. New files go to the first folder."""
        self.folders, self.new, self.spot = folders, new, spot

    def file(self, root, key):
        """Where it is, or would be."""
        paths = [os.path.join(root, folder, key + ".json") for folder in self.folders]
        return next(filter(os.path.exists, paths), paths[0])

    def change(self, document, item, values):
        """The document after a write; None: the file goes."""
        if item["do"] == "delete":
            return None
        if item["do"] == "put":
            return self.new(item["key"], values)
        if document is None:
            raise Broken("no-file", f"{item['table']} {item['key']} has no file")
        for column, value in values.items():
            holder, name = self.spot(document, column)
            holder[name] = value
        if item["do"] == "add":
            holder, name = self.spot(document, item["column"])
            holder[name] = holder.get(name, 0) + item["delta"]
        return document

    def rows(self, root, columns):
        """Of all files; the first column is the key."""
        for folder in self.folders:
            for path in glob.iglob(os.path.join(root, folder, "*.json")):
                document = read(path)
                spots = [self.spot(document, column) for column in columns[1:]]
                yield os.path.basename(path)[:-len(".json")], *(holder.get(name) for holder, name in spots)


class Elements:
    """A table whose rows are the elements of a list in another table's files. They have no key but their place:
    the file's key, a slash, the place."""

    def __init__(self, records, member):
        self.records, self.member = records, member

    def file(self, root, key):
        """The file that holds it."""
        return self.records.file(root, key.rpartition("/")[0])

    def change(self, document, item, values):
        """The document after a write."""
        place = int(item["key"].rpartition("/")[2])
        elements = None if document is None else document[self.member]
        if elements is None or place > len(elements) or (item["do"] != "put" and place == len(elements)):
            raise Broken("no-place", f"{item['table']} {item['key']} has no place")
        if item["do"] == "update":
            elements[place].update(values)
        else:
            new = [{c: v for c, v in values.items() if v is not None}] if item["do"] == "put" else []
            elements[place:place + 1] = new
        return document

    def rows(self, root, columns):
        """Of all files; the first column is the file's key."""
        for key, elements in self.records.rows(root, [None, self.member]):
            for element in elements:
                yield key, *(element.get(column) for column in columns[1:])


def read(path):
    """The document; None if there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Broken("torn", f"{path}: {error}") from error


class FilesStore:
    """A folder of JSON files. A unit of work is not atomic here, as it is not in any such application: its files are
    written one after the other."""

    def __init__(self, args, tables, shown):
        """`tables`: Records or Elements by name; `shown`: the columns of each that look() needs."""
        self.root, self.tables, self.shown = args.old, tables, shown
        self.patience_s = args.busy_timeout_ms / 1000
        self.before = args.journal + ".before"
        self.until_death = args.die_writing
        self.fresh = True

    def close(self):
        """Nothing is held between two units."""

    def look(self, find):
        """What `find(fetch)` finds by SELECTs that both sides understand: in a picture of the files in memory."""
        try:
            with self._locked():
                self._mend()
                db = sqlite3.connect(":memory:")
                for table, columns in self.shown.items():
                    db.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
                    db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})",
                                   self.tables[table].rows(self.root, columns))
        except Broken as error:
            raise Retry(error.kind, str(error)) from error
        return find(lambda sql, *args: db.execute(sql, args).fetchall())

    def run(self, writes, immediate):
        """One unit; `immediate` has no meaning here."""
        del immediate
        with self._locked():
            self._mend()
            documents = {}
            for item in writes:
                table = self.tables[item["table"]]
                if "by" not in item:
                    path = table.file(self.root, item["key"])
                    document = documents[path] if path in documents else read(path)
                    values = {c: spelled(v) for c, v in item.get("values", {}).items()}
                    documents[path] = table.change(document, item, values)
            for path in documents:
                refuse_if_fenced(path)
            self._write(documents)
        return {}

    @contextlib.contextmanager
    def _locked(self):
        """The one lock of all files; whoever is killed gives it back."""
        name = os.path.join(self.root, ".lock")
        until = time.monotonic() + self.patience_s
        while (lock := try_lock(name)) is None:
            if time.monotonic() > until:
                raise Retry("locked", f"{name} is held by somebody else")
            time.sleep(LOCK_AGAIN_S)
        try:
            yield
        finally:
            os.close(lock)

    def _write(self, documents):
        """All files of a unit. What they were is kept until the last one is written."""
        self._remember(documents)
        begun = False
        try:
            for path, document in documents.items():
                if document is None:
                    os.unlink(path)
                else:
                    self._stream(path, document)
                begun = True
        except OSError as error:
            if begun:
                raise Lost(f"{error}, in the middle of a unit of work") from error
            raise (Refused(str(error)) if error.errno in FENCED else Broken("OSError", str(error))) from error
        os.unlink(self.before)

    def _stream(self, path, document):
        """As Python's json.dump(document, file, indent=2) does it."""
        self.until_death -= 1
        with open(path, "w", encoding="utf-8") as file:
            if self.until_death == 0:
                text = json.dumps(document, indent=2)
                file.write(text[:len(text) // 2])
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            json.dump(document, file, indent=2)

    def _remember(self, documents):
        texts = {}
        for path in documents:
            with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
                texts[path] = file.read()
        with open(self.before + ".new", "w", encoding="utf-8") as file:
            json.dump({path: texts.get(path) for path in documents}, file)
        os.replace(self.before + ".new", self.before)

    def _mend(self):
        """What a person would do who finds a file that an application left half-written: put back what it was, from
        the last backup. Once, before the first unit of a process."""
        if not self.fresh:
            return
        self.fresh = False
        texts = read(self.before) or {}
        for path, text in texts.items():
            try:
                read(path)
            except Broken:
                refuse_if_fenced(path)
                if text is None:
                    os.unlink(path)
                    continue
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)


def open_lock(path):
    """Made if it is not there; what is there need not be written to be locked."""
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise (Refused(str(error)) if error.errno in FENCED else Retry("OSError", str(error))) from error


def try_lock(path):
    """The open lock, or None if somebody else holds it. Who made the file may remove it when done: then what was
    locked is nobody's lock any more."""
    lock = open_lock(path)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
    os.close(lock)
    return None


def refuse_if_fenced(path):
    """The fence takes all write bits. The kernel lets root pass nevertheless, so it is looked for."""
    for there in (path, os.path.dirname(path)):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(there).st_mode & 0o222 == 0:
                raise Refused(f"{there} may not be written")
