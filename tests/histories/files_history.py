"""Makes a random history of JSON files from a seed: collections, the application's edits and statements on whichever side
is primary, and what befalls the sidecar meanwhile (history.py)."""
import json
import random

from documents import KEYS, KINDS, LISTS, WORDS, Documents
from history import FLIPPING, FORWARD, STARTING, Maker

LEDGER = ["files.ledger.commit.before", "files.ledger.commit.after"]
POINTS = {
    "old": FORWARD + LEDGER,
    "postgres": LEDGER + ["files.stage.sync.before", "files.stage.sync.after", "files.replace.before", "files.replace.after",
                          "files.folder_sync.before", "files.folder_sync.after", "pg.feedback.before", "pg.feedback.after"],
    "starting": [point for point in STARTING if not point.startswith("sqlite")] + LEDGER + [
        "files.backup.sync.before", "files.backup.rename.after"],
    "flipping": [point for point in FLIPPING if not point.startswith("sqlite")] + [
        "files.gate.close.commit.before", "files.gate.close.commit.after", "files.gate.open.commit.before",
        "files.gate.open.commit.after"],
}
MANNERS = ["inplace", "inplace", "rename", "rename", "halves", "append"]
EXTRA = [("extra", "1.10"), ("more", '{"x": [1, 2]}'), ("flag", "null")]
SKUS = ["s1", "s2", "s3", "é"]


class FileEdits:
    """The application's edits. `odd`: now and then a value that does not fit, or a second record with one key."""

    def __init__(self, rng, documents, odd):
        self.rng, self.collections, self.odd = rng, documents.collections, odd

    def value(self, kind):
        """A JSON text."""
        _, fine, _, odd = KINDS[kind]
        return self.rng.choice(odd if self.odd and odd and self.rng.random() < 0.06 else fine)

    def element(self, collection, table, sku=None):
        """The JSON text of an element of a table, or of a record."""
        if table.shape == "scalars":
            return self.value(table.members[0].kind)
        members = []
        if table.shape == "keyed":
            members.append(("sku", json.dumps(sku or self.rng.choice(SKUS))))
        if table.parent is None and collection.group:
            members.append((collection.group, self.rng.choice(['"north"', '"south"'])))
        deep = []
        for member in table.members:
            if self.rng.random() < 0.2:
                continue
            value = "null" if self.rng.random() < 0.15 else self.value(member.kind)
            (deep if len(member.path) > 1 else members).append((member.path[-1], value))
        if deep:
            members.append(("deep", self.object(deep)))
        for inner in [other for other in collection.tables if other.parent is table and self.rng.random() < 0.8]:
            members.append((inner.path[0], self.inner(collection, inner)))
        members += [pair for pair in EXTRA if self.rng.random() < 0.15]
        self.rng.shuffle(members)
        return self.object(members)

    @staticmethod
    def object(members):
        """{…}"""
        return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {value}" for name, value in members) + "}"

    def inner(self, collection, table):
        """What a record has under an inner table's name."""
        if self.rng.random() < 0.08:
            return "null"
        if table.shape == "object":
            return self.element(collection, table)
        if table.shape == "map":
            names = self.rng.sample(["x", "y", "é", "a.b"], self.rng.randint(0, 3))
            return self.object([(name, self.element(collection, table)) for name in names])
        if table.shape == "keyed":
            skus = self.rng.sample(SKUS, self.rng.randint(0, 3))
            return "[" + ", ".join(self.element(collection, table, sku) for sku in skus) + "]"
        return "[" + ", ".join(self.element(collection, table) for _ in range(self.rng.choice([0, 1, 2, 3, 5]))) + "]"

    def record(self, collection, key):
        """A record's JSON text."""
        text = self.element(collection, collection.tables[0])
        if collection.form == "map":
            return text
        identity = key if collection.key_kind == "int8" else json.dumps(key, ensure_ascii=False)
        if self.odd and collection.form in ("array", "inner", "lines") and self.rng.random() < 0.03:
            identity = "null"
        return '{"id": ' + identity + (", " if text != "{}" else "") + text[1:]

    def path_to(self, collection):
        """(table, path of names and places to one of its elements), as far in as it goes."""
        table, path = collection.tables[0], []
        while True:
            inner = [other for other in collection.tables if other.parent is table]
            if not inner or self.rng.random() < 0.4:
                return table, path
            table = self.rng.choice(inner)
            path = path + table.path + {"map": [self.rng.choice(["x", "y", "é"])], "object": []}.get(
                table.shape, [self.rng.randint(0, 5)])

    def edit(self):
        """One edit."""
        rng, collection = self.rng, self.rng.choice(self.collections)
        key = rng.choice(KEYS[collection.key_kind])
        head = [collection.name, rng.choice(MANNERS) if rng.random() > 0.06 else rng.choice(["torn", "torn", "emptied"]), key]
        chance = rng.random()
        if chance < 0.35:
            return ["put", *head, self.record(collection, key)]
        if chance < 0.42:
            return ["drop", *head]
        if chance < 0.46:
            return ["rekey", *head, rng.choice(KEYS[collection.key_kind])]
        if chance < 0.50:
            return ["shuffle", *head, rng.randrange(1000)]
        if chance < 0.54:
            return ["style", *head, rng.choice(["stringify", "python", "minified", "tabs", "crlf"])]
        if chance < 0.56:
            return ["rewrite", *head]
        if self.odd and chance < 0.58:
            return ["twin", *head, self.record(collection, key)]
        return self.edit_inside(collection, head)

    def edit_inside(self, collection, head):
        """A member, or an element."""
        rng = self.rng
        table, path = self.path_to(collection)
        listed = [other for other in collection.tables if other.parent is table and other.shape in ("list", "keyed", "scalars")]
        if listed and rng.random() < 0.6:
            inner = rng.choice(listed)
            how = rng.choice(["insert", "insert", "move", "unset"])
            if how == "insert":
                return ["insert", *head, path + inner.path, rng.choice([0, 1, 99]), self.element(collection, inner)]
            if how == "move":
                return ["move", *head, path + inner.path, rng.randint(0, 5), rng.randint(0, 5)]
            return ["unset", *head, path + inner.path + [rng.randint(0, 5)]]
        if table.shape == "scalars":
            return ["set", *head, path, self.element(collection, table)]
        member = rng.choice(table.members)
        if rng.random() < 0.15:
            return ["unset", *head, path + member.path]
        return ["set", *head, path + member.path, "null" if rng.random() < 0.1 else self.value(member.kind)]

    def unit(self):
        """A few edits in a row."""
        return [self.edit() for _ in range(self.rng.choice([1, 1, 2, 4]))]


class TableWrites:
    """Random statements on the tables of documents."""

    def __init__(self, rng, documents):
        self.rng, self.documents = rng, documents

    def pick(self):
        """(collection, table)."""
        collection = self.rng.choice(self.documents.collections)
        return collection, self.rng.choice(collection.tables)

    def literal(self, member):
        """A value of a member's column."""
        if member.otherwise is None and self.rng.random() < 0.15:
            return "NULL"
        return self.rng.choice(KINDS[member.kind][2])

    def key(self, collection):
        """Of a record."""
        text = self.rng.choice(KEYS[collection.key_kind])
        return text if collection.key_kind == "int8" else "'" + text.replace("'", "''") + "'"

    def some_row(self, table):
        """A row that may be there: a subquery for its identity."""
        column = "id" if table.parent is None or table.has_id() else "parent"
        return f"(SELECT {column} FROM {table.name} ORDER BY md5({column}::text || '{self.rng.randrange(9)}') LIMIT 1)"

    def own(self, collection, table):
        """{column: literal} of the columns that take no plain member."""
        rng, out = self.rng, {}
        if table.parent is None:
            out["id"] = self.key(collection)
        else:
            out["parent"] = self.key(collection) if table.parent.parent is None and rng.random() < 0.4 else \
                self.some_row(table.parent)
        if table.shape == "keyed":
            out["sku"] = "'" + rng.choice(SKUS) + "'"
        if table.shape == "map":
            out["name"] = "'" + rng.choice(["x", "y", "é", "new"]) + "'"
        if table.place:
            out[table.place] = str(rng.randint(0, 12))
        if table.parent is None and collection.group:
            out["grp"] = rng.choice(["'north'", "'south'"])
        return out

    def insert(self, collection, table):
        """One row; if its key is there, another image of it."""
        cells = {**self.own(collection, table), **{member.column: self.literal(member) for member in table.members
                                                   if member.otherwise is None or self.rng.random() < 0.7}}
        key = {"keyed": "parent, sku", "map": "parent, name", "object": "parent"}.get(table.shape, "id")
        changed = [member.column for member in table.members if member.column in cells]
        tail = self.rng.choice(["", f" ON CONFLICT ({key}) DO NOTHING"] + (
            [f" ON CONFLICT ({key}) DO UPDATE SET " + ", ".join(f"{c} = excluded.{c}" for c in changed)] if changed else []))
        return f"INSERT INTO {table.name} ({', '.join(cells)}) SELECT {', '.join(cells.values())}{tail}"

    def where(self, collection, table):
        """One row, or a few."""
        if table.parent is None and self.rng.random() < 0.6:
            return f"id = {self.key(collection)}"
        column = "id" if table.parent is None or table.has_id() else "parent"
        if table.place and self.rng.random() < 0.2:
            return f"{table.place} > {self.rng.randint(0, 9)}"
        return f"{column} = {self.some_row(table)}"

    def update(self, collection, table):
        """A member or two; or the place, the key, the parent."""
        rng = self.rng
        if rng.random() < 0.75 and table.members:
            some = rng.sample(table.members, min(len(table.members), rng.choice([1, 1, 2])))
            cells = {member.column: self.literal(member) for member in some}
        else:
            own = self.own(collection, table)
            column = rng.choice(list(own))
            cells = {column: own[column]}
            if column == table.place and rng.random() < 0.5:
                cells = {column: f"{column} {rng.choice(['+ 1', '+ 20', '* -1'])}"}
        return (f"UPDATE {table.name} SET {', '.join(f'{c} = {v}' for c, v in cells.items())} "
                f"WHERE {self.where(collection, table)}")

    def statement(self):
        """One statement."""
        collection, table = self.pick()
        chance = self.rng.random()
        if chance < 0.02:
            return f"TRUNCATE {table.name} CASCADE"
        if chance < 0.04:
            return f"DELETE FROM {table.name}"
        if chance < 0.45:
            return self.insert(collection, table)
        if chance < 0.85:
            return self.update(collection, table)
        return f"DELETE FROM {table.name} WHERE {self.where(collection, table)}"

    def transaction(self):
        """The statements of one transaction, or of none."""
        rng = self.rng
        lines = [self.statement() for _ in range(rng.choice([1, 1, 2, 4, 7]))]
        if len(lines) == 1 and rng.random() < 0.7:
            return lines
        if rng.random() < 0.3:
            at = rng.randint(0, len(lines))
            undo = ["ROLLBACK TO s"] if rng.random() < 0.6 else []
            lines[at:at] = ["SAVEPOINT s", self.statement(), *undo, "RELEASE s"]
        return ["BEGIN", *lines, "ROLLBACK" if rng.random() < 0.1 else "COMMIT"]

    def large(self, rows):
        """Many rows of one list."""
        collection, table = self.pick()
        if not table.has_id():
            return self.transaction()
        column = table.members[0]
        return [f"INSERT INTO {table.name} (parent, {column.column}, {table.place}) SELECT {self.some_row(table.parent)}, "
                f"{KINDS[column.kind][2][0]}, g FROM generate_series(21, {min(rows, 300)}) g",
                f"DELETE FROM {table.name} WHERE {table.place} > 20"]


class FilesMaker(Maker):
    """Builds the steps."""

    points = POINTS

    def __init__(self, seed):  # pylint: disable=super-init-not-called
        self.rng = rng = random.Random(seed)
        self.documents = Documents(rng)
        self.odd = self.stays = rng.random() < 0.2
        self.old = FileEdits(rng, self.documents, self.odd)
        self.new = TableWrites(rng, self.documents)
        self.side = "old"
        self.steps = []

    def write_old(self, count):
        for _ in range(count):
            self.steps.append(["files", self.old.unit()])

    def script(self):
        self.write_old(self.rng.randint(2, 8))
        self.tell()
        return {"store": "files", **self.documents.script(), "steps": self.steps}


def make(seed):
    """The history of a seed."""
    return {"seed": seed, **FilesMaker(seed).script()}
