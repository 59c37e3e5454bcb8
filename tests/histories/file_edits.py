"""The application of a files history: it reads a file, changes what it read, and writes all of it, in one manner or
another. An edit is [what, collection, manner, key, …] and means something whatever the files hold:
  put RECORD             drop                 rekey KEY
  set PATH JSON          unset PATH           (a path has names and, taken modulo the length, places)
  insert PATH PLACE JSON                      move PATH FROM TO
  shuffle SEED           style STYLE          rewrite           twin JSON (a second record with the same key)
Manners: "inplace" truncates and writes, "halves" does so in two strokes, "rename" writes beside and renames over,
"append" is for a new line; with "torn" and "emptied" the application is killed while it writes, or before.
"""
import glob
import os
import random
import time

import json_text

MOST_GONE = 3   # of one file's records between two comparisons: more at once would be held back
FORMS_OF_ONE = ("file", "folder")


class Application:
    """Has the folder to itself but for the bridge. Paths are below it."""

    def __init__(self, root, collections):
        self.root = root
        self.collections = {one["name"]: one for one in collections}
        self.torn = {}          # path -> what was being written
        self.before = {}        # what a file held when both sides were last equal
        self.touched = set()    # paths written since, but for the write that was torn
        self.gone = {}          # path -> records that went since
        os.makedirs(root)

    def path(self, name):
        """Of a file."""
        return os.path.join(self.root, name)

    # -- what is there

    def files_of(self, collection):
        """Paths that a collection has now."""
        pattern = collection["path"].replace("{/id}", "*").replace(f"{{/{collection['group']}}}", "*")
        return sorted(os.path.relpath(path, self.root) for path in glob.glob(self.path(pattern)))

    def bytes_of(self, path):
        """None if there is no such file."""
        try:
            with open(self.path(path), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def bytes_of_all(self):
        """Of every file in the folder but the canary."""
        found = [os.path.relpath(path, self.root) for path in glob.glob(self.path("**"), recursive=True, include_hidden=True)
                 if os.path.isfile(path)]
        return {path: self.bytes_of(path) for path in found if path != "canary.json"}

    def is_own(self, path):
        """Whether it is a file of some collection."""
        return any(path in self.files_of(one) for one in self.collections.values())

    def records_of(self, collection):
        """(key, record) pairs as the other side must have them: of a torn file those that it had."""
        out = []
        for path in sorted(set(self.files_of(collection)) | set(self.torn)):
            if path not in self.torn and self.owns(collection, path):
                out += pairs(collection, load(collection, self.bytes_of(path)))
            elif self.owns(collection, path) and self.before.get(path) is not None:
                out += pairs(collection, load(collection, self.before[path]))
        return out

    def owns(self, collection, path):
        """Whether the path is one of the collection's."""
        return path in self.files_of(collection)

    def synced(self):
        """Both sides are equal now."""
        self.before = {path: self.before.get(path) if path in self.torn else held
                       for path, held in self.bytes_of_all().items()}
        self.touched.clear()
        self.gone.clear()

    # -- the canary

    def write_canary(self, number):
        """A file of its own."""
        with open(self.path("canary.json.tmp"), "w", encoding="ascii") as file:
            file.write('{"id": 1, "n": %d}' % number)
        os.rename(file.name, self.path("canary.json"))

    def read_canary(self):
        """Its number."""
        return int(json_text.read(self.bytes_of("canary.json"))["n"])

    # -- edits

    def edit(self, edit):
        """One of them."""
        what, name, manner, key, *rest = edit
        collection = self.collections[name]
        if collection["form"] in FORMS_OF_ONE:
            self.edit_one(collection, manner, key, what, rest)
        else:
            self.edit_many(collection, manner, key, what, rest)

    def current(self, collection, path):
        """The document as the application knows it; None if there is none."""
        held = self.torn.get(path) or self.bytes_of(path)
        return None if held is None else load(collection, held)

    def edit_many(self, collection, manner, key, what, rest):
        """A record of a file that has many."""
        path = collection["path"]
        document = self.current(collection, path)
        if document is None:
            document = {"map": {}, "inner": {}}.get(collection["form"], [])
        records = document.setdefault(collection["name"], []) if collection["form"] == "inner" else document
        keys = [one for one, _ in pairs(collection, document)]
        style = rest[0] if what == "style" else collection["style"]
        if what == "put" and manner == "append" and key not in keys and path not in self.torn and collection["form"] == "lines":
            self.append(path, json_text.write_lines([json_text.read(rest[0].encode())], style))
            return
        if not change_records(collection, records, key, keys, what, rest, lambda: self.may_go(path)):
            return
        self.write(path, dump(collection, document, style), manner, collection)

    def may_go(self, path):
        """Counts a record that goes."""
        self.gone[path] = self.gone.get(path, 0) + 1
        return self.gone[path] <= MOST_GONE

    def find(self, collection, key):
        """(path, record) of a collection with a file for each."""
        for path in self.files_of(collection):
            record = self.current(collection, path)
            if str(record.get("id")) == key:
                return path, record
        return None, None

    def edit_one(self, collection, manner, key, what, rest):
        """A record that is a file."""
        path, record = self.find(collection, key)
        style = rest[0] if what == "style" else collection["style"]
        if what in ("drop", "rekey") and path is None or what == "rekey" and self.find(collection, rest[0])[0]:
            return
        if what == "drop":
            self.unlink(path)
            return
        if what == "put":
            record = json_text.read(rest[0].encode())
        elif record is None:
            return
        elif what == "rekey":
            record["id"] = rest[0]
        elif not change_record(record, what, rest):
            return
        to = self.place_of(collection, record)
        if path is None and self.bytes_of(to) is not None:
            return  # somebody else's
        self.write(to, json_text.write(record, style), manner, collection)
        if path not in (None, to):
            self.unlink(path)

    @staticmethod
    def place_of(collection, record):
        """The path that a record's members make."""
        return collection["path"].replace("{/id}", str(record["id"])).replace(
            f"{{/{collection['group']}}}", str(record.get(collection["group"])))

    # -- writing

    def unlink(self, path):
        """The file goes."""
        self.torn.pop(path, None)
        self.touched.add(path)
        os.unlink(self.path(path))

    def append(self, path, line):
        """A line more."""
        self.touched.add(path)
        with open(self.path(path), "ab") as file:
            file.write(line)

    def mend(self, path):
        """Writes whole what is torn."""
        self.write(path, self.torn[path], "inplace", None)

    def write(self, path, text, manner, collection):
        """All of a file."""
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        if manner == "torn" or manner == "emptied" and collection["form"] != "lines":
            cut = torn_at(collection, text) if manner == "torn" else 0
            if cut or manner == "emptied":
                if path in self.torn:
                    self.touched.add(path)
                with open(self.path(path), "wb") as file:
                    file.write(text[:cut])
                self.torn[path] = text
                return
        self.torn.pop(path, None)
        self.touched.add(path)
        if manner == "rename":
            with open(self.path(path) + ".tmp", "wb") as file:
                file.write(text)
            os.rename(file.name, self.path(path))
            return
        with open(self.path(path), "wb") as file:
            if manner == "halves":
                file.write(text[:len(text) // 2])
                file.flush()
                time.sleep(0.03)  # the pace of a slow writer, whose half may be seen
                text = text[len(text) // 2:]
            file.write(text)


def torn_at(collection, text):
    """Where a text can be cut so that what is left is no whole file; 0 if nowhere."""
    cut = len(text) * 2 // 3
    while cut:
        try:
            load(collection, text[:cut])
        except ValueError:
            return cut
        cut -= 1
    return 0


def load(collection, held):
    """A file's bytes as a document; JSON Lines as a list."""
    if collection["form"] == "lines":
        return [json_text.read(line) for line in held.splitlines() if line.strip()]
    return json_text.read(held)


def dump(collection, document, style):
    """The other way."""
    return json_text.write_lines(document, style) if collection["form"] == "lines" else json_text.write(document, style)


def pairs(collection, document):
    """(key, record) of all records of a document."""
    form = collection["form"]
    if form == "map":
        return list(document.items())
    if form == "inner":
        document = document.get(collection["name"]) or []
    return [(record.get("id"), record) for record in (document if form in ("array", "inner", "lines") else [document])]


def change_records(collection, records, key, keys, what, rest, may_go):
    """Changes a list or map of records; False if there is nothing to change."""
    at = keys.index(key) if key in keys else None
    if what in ("style", "rewrite"):
        return True
    if what == "shuffle":
        items = list(records.items()) if isinstance(records, dict) else list(records)
        random.Random(rest[0]).shuffle(items)
        records.clear()
        (records.update if isinstance(records, dict) else records.extend)(items)
        return True
    if what == "put":
        record = json_text.read(rest[0].encode())
        if isinstance(records, dict):
            records[key] = record
        else:
            records[len(records) if at is None else at:at if at is None else at + 1] = [record]
        return True
    if at is None:
        return False
    if what == "twin":
        if not isinstance(records, dict):
            records.append(json_text.read(rest[0].encode()))
        return not isinstance(records, dict)
    if what == "drop" or what == "rekey" and rest[0] not in keys:
        if not may_go():
            return False
        if isinstance(records, dict):
            record = records.pop(key)
            if what == "rekey":
                records[rest[0]] = record
        elif what == "drop":
            records.pop(at)
        else:
            records[at]["id"] = rest[0] if collection["key"] == "text" else json_text.Number(rest[0])
        return True
    return what != "rekey" and change_record(records[key] if isinstance(records, dict) else records[at], what, rest)


def change_record(record, what, rest):
    """The same inside a record."""
    if what in ("style", "rewrite"):
        return True
    if what not in ("set", "unset", "insert", "move"):
        return False
    *path, last = rest[0]
    holder = record
    for name in path:
        holder = step_into(holder, name)
    if what == "set" or what == "unset":
        if isinstance(holder, list) and holder and isinstance(last, int):
            last %= len(holder)
        elif not isinstance(holder, dict) or isinstance(last, int) or what == "unset" and last not in holder:
            return False
        if what == "unset":
            del holder[last]
        else:
            holder[last] = json_text.read(rest[1].encode())
        return True
    elements = step_into(holder, last)
    if elements is None and what == "insert" and isinstance(holder, dict):
        elements = holder[last] = []
    if not isinstance(elements, list) or not elements and what == "move":
        return False
    if what == "move":
        elements.insert(rest[2] % len(elements), elements.pop(rest[1] % len(elements)))
        return True
    element = json_text.read(rest[2].encode())
    sku = element.get("sku") if isinstance(element, dict) else None
    if sku is not None and any(other.get("sku") == sku for other in elements):
        return False
    elements.insert(rest[1] % (len(elements) + 1), element)
    return True


def step_into(holder, name):
    """What a container has under a name or at a place; None if nothing."""
    if isinstance(holder, list) and isinstance(name, int):
        return holder[name % len(holder)] if holder else None
    return holder.get(name) if isinstance(holder, dict) and isinstance(name, str) else None
