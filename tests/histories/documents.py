"""A random set of collections: how their files are laid out, which members their records have, PostgreSQL's tables and the
configuration between them. What compare_files.py needs to know of them is in described(), which does not come from the
configuration but beside it."""
import json

# Kind: PostgreSQL's type, values as a document has them (JSON texts), as SQL literals, and such as do not fit.
WORDS = ["a", "b", "B", "c ", "é", "", "it's", "x y", "日本", 'q"q', "back\\slash", "tab\there", "\U0001f680", "line\nend"]
DOCUMENTS = ['{}', '[]', '{"a": 1}', '{"a": 1, "b": [1, 2.50, null]}', '"word"', '7', '{"deep": {"er": ["x", {"y": "z"}]}}',
             '{"n": 1e2}', 'true', '{"u": "\\u00e9"}', '[[], {}, ""]']
STAMPS = ["2024-01-01T00:00:00.000Z", "2024-02-29T23:59:59Z", "1999-12-31 12:00:00.5", "2038-01-19T03:14:07.123456",
          "1969-12-31T23:59:59+02:00"]
LISTS = [[], ["a"], ["b", "a"], ["é", 'q"', "x,y", "{}"], ["NULL", ""]]


def _sql(text):
    return "'" + text.replace("'", "''") + "'"


KINDS = {
    "text": ("text", [json.dumps(word) for word in WORDS] + ["12", "1.50", "true"], [_sql(word) for word in WORDS],
             ['"nul\\u0000"', '"\\ud800"']),
    "int8": ("bigint", ["0", "1", "7", "-3", "1e2", "1.0", '"5"', str(2**53 + 1), str(-(2**63))],
             ["0", "2", "-9", str(2**63 - 1)], ['"abc"', "1.5", "1e30", "[]"]),
    "numeric": ("numeric", ["0", "1.50", "-2.25", "1e-7", "12345678901234567890.125", '"3.10"'],
                ["0", "1.50", "-2.250", "98765432109876543210.5", "0.001"], ['"abc"', "{}"]),
    "real": ("double precision", ["0.5", "1e20", "-1e-7", "3", "0.1"], ["0.25", "-1.5", "1e300", "7"], ['"abc"', "{}"]),
    "bool": ("boolean", ["true", "false", "0", "1"], ["true", "false"], ["7", '"maybe"']),
    "jsonb": ("jsonb", DOCUMENTS, [_sql(text) for text in DOCUMENTS], ['"nul\\u0000"']),
    "json": ("json", DOCUMENTS, [_sql(text) for text in DOCUMENTS], []),
    "stamp": ("timestamptz", [json.dumps(text) for text in STAMPS], [_sql(text.rstrip("Z")[:19] + "+00") for text in STAMPS],
              ['"soon"', "5"]),
    "date": ("date", ['"2024-01-01"', '"1970-02-28"'], ["'2024-02-29'", "'1900-03-01'"], ['"soon"']),
    "uuid": ("uuid", [f'"0000000{n}-aaaa-4bbb-8ccc-00000000000{n}"' for n in range(3)],
             [f"'0000000{n}-dddd-4bbb-8ccc-00000000000{n}'" for n in range(3)], ['"not-a-uuid"']),
    "list": ("text[]", [json.dumps(words) for words in LISTS],
             ["ARRAY[" + ", ".join(map(_sql, words)) + "]::text[]" for words in LISTS], ["{}"]),
}
KEYS = {"int8": [str(n) for n in range(8)] + [str(2**53 + 1)],
        "text": ["a", "b", "c", "d", "e", "é", "x y", "A", "0", "it's"]}
NAMES = ["n", "m", "a.b", "x/y", "é", "til~de", "deep/in", "deep/out"]     # a slash inside "deep/…" is a level, see Member
FORMS = ["array", "array", "map", "inner", "file", "file", "folder", "lines"]


class Member:
    """A column that takes a member of a record or an element. `path`: the names that lead to it."""

    def __init__(self, column, path, kind, rng):
        self.column, self.path, self.kind = column, path, kind
        # Absent and null are read as this, a key of `else`; the column is NOT NULL then.
        self.otherwise = {"text": "a", "int8": "5", "bool": "false"}.get(kind) if rng.random() < 0.15 else None
        self.absent = self.otherwise is None and rng.random() < 0.3

    def pointer(self):
        """RFC 6901."""
        return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in self.path)

    def config(self):
        """Its line."""
        more = f', else = "={self.otherwise}"' if self.otherwise else ', write = "absent"' if self.absent else ""
        return f"{self.column} = {{ from = {json.dumps(self.pointer(), ensure_ascii=False)}{more} }}"

    def sql(self):
        """Its declaration."""
        return f"{self.column} {KINDS[self.kind][0]}" + (f" NOT NULL DEFAULT '{self.otherwise}'" if self.otherwise else "")

    def described(self):
        """For the comparison."""
        return {"column": self.column, "path": self.path, "kind": self.kind, "else": self.otherwise}


class Table:
    """Rows of one level of a record. `shape`: record, list, keyed (a list whose elements have a key of their own), scalars,
    map, object."""

    def __init__(self, name, shape, path, parent, rng):
        self.name, self.shape, self.path, self.parent = name, shape, path, parent
        self.members, self.place, self.rest = [], None, False
        self.key_kind, self.made = "text", rng.choice(["$uuid", "$uuid", "$serial"])

    def has_id(self):
        """True if its rows have an identity that the document has no room for."""
        return self.shape in ("list", "scalars")


class Collection:
    """One of them, with its tables, parents first."""

    def __init__(self, number, rng, form):
        self.name, self.form = f"c{number}", form
        self.key_kind = "text" if form in ("map", "file", "folder") else rng.choice(["int8", "text"])
        self.style = rng.choice(["stringify", "python", "spaced", "minified", "tabs", "crlf"])
        self.group = rng.choice(["town", "a.group"]) if form == "folder" else None
        self.tables = [self.record_table(rng, f"t{number}")]
        for child in range(rng.choice([0, 1, 1, 2])):
            self.tables.append(self.child(rng, f"t{number}_{child}", self.tables[0], f"inner{child}"))
        for child in [table for table in self.tables[1:] if table.shape == "list" and rng.random() < 0.3]:
            self.tables.append(self.child(rng, child.name + "_0", child, "parts", ["list", "scalars", "keyed"]))

    def record_table(self, rng, name):
        """The records' own."""
        table = Table(name, "record", [], None, rng)
        table.key_kind = self.key_kind
        self.add_members(rng, table, rng.randint(1, 4))
        table.place = "place" if self.form in ("array", "inner") and rng.random() < 0.25 else None
        table.rest = rng.random() < 0.2
        return table

    @staticmethod
    def add_members(rng, table, count):
        """Columns from members; "deep/in" and "deep/out" are inside an object."""
        for number, name in enumerate(rng.sample(NAMES, count)):
            path = name.split("/") if name.startswith("deep/") else [name]
            table.members.append(Member(f"c{number}", path, rng.choice(list(KINDS)), rng))

    def child(self, rng, name, parent, member, shapes=("list", "list", "keyed", "scalars", "map", "object")):
        """A table inside another."""
        table = Table(name, rng.choice(list(shapes)), [member], parent, rng)
        if table.shape == "scalars":
            table.members = [Member("c0", [], rng.choice(["text", "int8", "numeric", "bool"]), rng)]
            table.members[0].otherwise, table.members[0].absent = None, False
        else:
            self.add_members(rng, table, rng.randint(1, 3))
        if table.has_id() or table.shape == "keyed" and rng.random() < 0.5:
            table.place = "place"
        return table

    def path(self):
        """The pattern of its files."""
        return {"array": f"{self.name}.json", "map": f"{self.name}.json", "inner": "db.json", "lines": f"{self.name}.jsonl",
                "file": self.name + "/{/id}.json", "folder": f"{self.name}/{{/{self.group}}}/{{/id}}.json"}[self.form]

    def file(self, key, group=None):
        """The file that has the record of a key."""
        return self.path().replace("{/id}", key).replace(f"{{/{self.group}}}", group or "")

    def config(self):
        """[collection] and [table]s."""
        records = {"array": "/*", "map": "/*", "inner": f"/{self.name}/*", "lines": "lines", "file": "", "folder": ""}
        lines = [f"[collection.{self.name}]", 'root = "data"', f'files = "{self.path()}"',
                 f'records = "{records[self.form]}"', f"ascii = {'true' if self.style in ('python', 'spaced') else 'false'}"]
        for table in self.tables:
            inside = self.inside(table)
            lines += [f"[table.{table.name}]", f'from = "{self.name}{":" + inside if inside else ""}"',
                      f"[table.{table.name}.columns]"]
            lines += [f'{column} = "{source}"' for column, source in self.sources(table)]
            lines += [member.config() for member in table.members]
        return "\n".join(lines) + "\n"

    def inside(self, table):
        """Where its rows are in a record."""
        if table.parent is None:
            return ""
        return self.inside(table.parent) + "/" + table.path[0] + ("" if table.shape == "object" else "/*")

    def key_source(self):
        """Of a record."""
        return "$key" if self.form == "map" else "/id"

    def sources(self, table):
        """Columns that do not take a plain member."""
        out = []
        if table.parent is None:
            out.append(("id", self.key_source()))
        else:
            outer = table.parent
            source = self.key_source() if outer.parent is None else outer.made if outer.has_id() else "/sku"
            out.append(("parent", "^" + source))
        if table.has_id():
            out.insert(0, ("id", table.made))
        if table.shape == "keyed":
            out.append(("sku", "/sku"))
        if table.shape == "map":
            out.append(("name", "$key"))
        if table.place:
            out.append((table.place, "$key"))
        if table.parent is None and self.group:
            out.append(("grp", f"/{self.group}"))
        if table.rest:
            out.append(("rest", "$rest"))
        return out

    def key_type(self, table):
        """Of the column that children refer to."""
        if table.parent is None:
            return {"int8": "bigint", "text": "text"}[table.key_kind]
        return {"$uuid": "uuid", "$serial": "bigint"}[table.made]

    def schema(self):
        """PostgreSQL's CREATE TABLEs."""
        return [self.create(table) for table in self.tables]

    def create(self, table):
        """One of them."""
        lines = []
        if table.parent is None:
            lines.append(f"id {self.key_type(table)} PRIMARY KEY")
        else:
            if table.has_id():
                lines.append("id uuid PRIMARY KEY DEFAULT gen_random_uuid()" if table.made == "$uuid"
                             else "id bigserial PRIMARY KEY")
            lines.append(f"parent {self.key_type(table.parent)} NOT NULL REFERENCES {table.parent.name} ON DELETE CASCADE "
                         "ON UPDATE CASCADE")
        lines += {"keyed": ["sku text", "PRIMARY KEY (parent, sku)"], "map": ["name text", "PRIMARY KEY (parent, name)"],
                  "object": ["PRIMARY KEY (parent)"]}.get(table.shape, [])
        if table.place:
            lines.append(f"{table.place} integer")
            # Two elements in one place are refused: a document cannot hold them.
            lines.append(f"UNIQUE ({'parent, ' if table.parent else ''}{table.place})")
        if table.parent is None and self.group:
            lines.append("grp text")
        if table.rest:
            lines.append("rest jsonb NOT NULL DEFAULT '{}'")  # a document always has a rest
        return f"CREATE TABLE {table.name} ({', '.join(lines + [member.sql() for member in table.members])})"

    def described(self):
        """For the comparison and for what the application does."""
        return {"name": self.name, "form": self.form, "path": self.path(), "group": self.group, "style": self.style,
                "key": self.key_kind,
                "tables": [{"name": table.name, "shape": table.shape, "member": (table.path or [None])[0],
                            "parent": table.parent.name if table.parent else None, "has_id": table.has_id(),
                            "place": table.place, "rest": table.rest,
                            "columns": [member.described() for member in table.members]} for table in self.tables]}


class Documents:
    """All collections of a history."""

    def __init__(self, rng):
        self.collections = []
        for number in range(rng.choice([1, 1, 2, 3])):
            self.collections.append(Collection(number, rng, rng.choice(FORMS)))
        inner = [one for one in self.collections if one.form == "inner"]
        for one in inner:   # one file has one style
            one.style = inner[0].style

    def script(self):
        """The parts of a history that the documents decide."""
        config = ('[collection.canary]\nroot = "data"\nfiles = "canary.json"\nrecords = ""\n[table.canary]\nfrom = "canary"\n'
                  '[table.canary.columns]\nid = "/id"\nn = "/n"\n')
        return {"postgres": [line for one in self.collections for line in one.schema()]
                + ["CREATE TABLE canary (id integer PRIMARY KEY, n bigint)"],
                "collections": [one.described() for one in self.collections],
                "tables": [{"name": table.name, "key": ["parent" if table.shape in ("keyed", "map", "object") else "id"],
                            "serial": table.has_id() and table.made == "$serial"}
                           for one in self.collections for table in one.tables],
                "config": "".join(one.config() for one in self.collections) + config}
