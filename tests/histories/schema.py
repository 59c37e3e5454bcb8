"""A random pair of schemas: SQLite's, PostgreSQL's and the configuration between them, from a random generator.

What is unique in SQLite is unique in PostgreSQL too, in the same words, so that neither side can hold rows that the
other must refuse; what is not wanted equal is left to values that do not fit.
"""
import values


class Column:
    """`default` is a literal both sides understand; `only_old`: PostgreSQL has no such column. `conflict` is what SQLite
    does where NULL is not allowed."""

    def __init__(self, name, kind, not_null=False, default=None):
        self.name, self.kind, self.not_null, self.default = name, kind, not_null, default
        self.only_old, self.conflict = False, ""

    def old(self):
        """How SQLite declares it."""
        return " ".join(filter(None, [self.name, values.KINDS[self.kind].old,
                                      "NOT NULL" + self.conflict if self.not_null else "",
                                      f"DEFAULT {self.default}" if self.default is not None else ""]))

    def new(self):
        """How PostgreSQL declares it."""
        return " ".join(filter(None, [self.name, values.KINDS[self.kind].new, "NOT NULL" if self.not_null else "",
                                      f"DEFAULT {self.default}" if self.default is not None else ""]))


class Link:
    """A foreign key of one column to a parent's key."""

    def __init__(self, column, parent, on_delete, on_update, deferred):
        self.column, self.parent, self.deferred = column, parent, deferred
        self.acts_on_delete = bool(on_delete)
        self.actions = "".join(f" ON {what} {action}" for what, action in
                               (("DELETE", on_delete), ("UPDATE", on_update)) if action)

    def clause(self, deferred):
        """REFERENCES … as both sides spell it."""
        return (f"FOREIGN KEY ({self.column}) REFERENCES {self.parent.name} ({self.parent.key[0]}){self.actions}"
                + (" DEFERRABLE INITIALLY DEFERRED" if deferred else ""))


class Table:
    """One table as the writers see it. `form` says what the key is."""

    def __init__(self, name):
        self.name = name
        self.columns, self.key, self.uniques, self.links = [], [], [], []
        self.form, self.without_rowid, self.orphans = "", False, None
        self.leaves = []        # partitions in PostgreSQL
        self.old_extra = []     # more statements of SQLite's schema: indexes and triggers
        self.new_extra = []

    def kind(self, name):
        """The kind of a column."""
        return next(column.kind for column in self.columns if column.name == name)

    def column(self, name):
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def rest(self):
        """Columns that are not part of the key."""
        return [column for column in self.columns if column.name not in self.key]

    def has_hidden_rowid(self):
        """True if a rowid beside the key can displace rows."""
        return not self.without_rowid and self.form not in ("rowid", "autoincrement", "secondary")

    def old_sql(self):
        """SQLite's CREATE TABLE."""
        lines = []
        for column in self.columns:
            line = column.old()
            if column.name == "rid" or [column.name] == self.key and self.form == "rowid":
                line += " PRIMARY KEY"
            if [column.name] == self.key and self.form == "autoincrement":
                line += " PRIMARY KEY AUTOINCREMENT"
            lines.append(line)
        if self.form == "secondary":
            lines.append(f"UNIQUE ({', '.join(self.key)})")
        elif self.form not in ("rowid", "autoincrement"):
            lines.append(f"PRIMARY KEY ({', '.join(self.key)})"
                         + (" ON CONFLICT REPLACE" if self.form == "replace" else ""))
        lines += [f"UNIQUE ({', '.join(unique)}){how}" for unique, how in self.uniques]
        lines += [link.clause(link.deferred) for link in self.links]
        return [f"CREATE TABLE {self.name} ({', '.join(lines)}){' WITHOUT ROWID' if self.without_rowid else ''}",
                *self.old_extra]

    def new_sql(self, deferrable):
        """PostgreSQL's."""
        lines = [column.new() for column in self.columns if not column.only_old] + [f"PRIMARY KEY ({', '.join(self.key)})"]
        if self.form == "autoincrement":
            lines = [line.replace("id bigint", "id bigserial", 1) for line in lines]
        lines += [f"UNIQUE ({', '.join(unique)})" + (" DEFERRABLE INITIALLY DEFERRED" if deferrable else "")
                  for unique, _ in self.uniques]
        lines += [link.clause(deferrable) for link in self.links]
        big = [f"ALTER TABLE {self.name} ALTER COLUMN {column.name} SET STORAGE EXTERNAL" for column in self.columns
               if column.kind == "big"]
        how = f" PARTITION BY HASH ({self.key[0]})" if self.leaves else ""
        parts = [f"CREATE TABLE {leaf} PARTITION OF {self.name} FOR VALUES WITH (MODULUS {len(self.leaves)}, REMAINDER "
                 f"{number})" for number, leaf in enumerate(self.leaves)]
        return [f"CREATE TABLE {self.name} ({', '.join(lines)}){how}", *big, *parts, *self.new_extra]

    def described(self):
        """What compare.py reads."""
        return {"name": self.name, "key": self.key, "serial": self.form == "autoincrement",
                "columns": [[column.name, column.kind] for column in self.by_key_first()
                            if not column.only_old],
                "orphans": self.orphans or "quarantine", "leaves": self.leaves,
                "references": [{"column": link.column, "parent": link.parent.name} for link in self.links]}

    def by_key_first(self):
        """The key's columns, then the rest."""
        return [self.column(name) for name in self.key] + self.rest


class Schema:
    """`postgres_deferrable`: unique and foreign keys in PostgreSQL are deferred to commit."""

    def __init__(self, rng):
        self.foreign_keys = rng.random() < 0.6      # applications switch them on
        self.leave = not self.foreign_keys and rng.random() < 0.6
        self.keeps_orphans = not self.foreign_keys and not self.leave
        self.postgres_deferrable = rng.random() < 0.5
        self.tables = []
        for number in range(rng.choice([1, 2, 2, 3])):
            self.tables.append(_table(rng, f"t{number}", self))
        if rng.random() < 0.4:
            _add_triggers(rng, self.tables)

    def acts_on_itself(self):
        """Whether deleting a row may delete or change others of its table."""
        return self.foreign_keys and any(link.acts_on_delete and link.parent is table
                                         for table in self.tables for link in table.links)

    def script(self):
        """The parts of a history that a schema decides."""
        return {"sqlite": [line for table in self.tables for line in table.old_sql()],
                "postgres": [line for table in self.tables for line in table.new_sql(self.postgres_deferrable)],
                "tables": [table.described() for table in self.tables], "config": self.config()}

    def config(self):
        """The tables' part of switchback.toml."""
        lines = []
        for table in self.tables:
            lines += [f"[table.{table.name}]", f'from = "app.{table.name}"']
            if table.orphans:
                lines.append(f'orphans = "{table.orphans}"')
            stamps = [column.name for column in table.columns if column.kind == "stamp"]
            if stamps:
                lines.append(f"[table.{table.name}.columns]")
                lines += [f'{name} = {{ from = "{name}", spelling = ["sqlite", "iso"] }}' for name in stamps]
        return "\n".join(lines) + "\n"


def _table(rng, name, schema):
    table = Table(name)
    table.form = rng.choice(["rowid", "rowid", "autoincrement", "integer", "text", "nocase", "pair", "replace", "secondary"])
    if table.form == "pair":
        table.columns = [Column("k1", rng.choice(["int8", "text"]), True),
                         Column("k2", rng.choice(["text", "int4"]), True)]
        table.key = ["k1", "k2"]
    else:
        kind = {"rowid": "int8", "autoincrement": "int8", "integer": "int4", "text": "text", "nocase": "nocase",
                "replace": rng.choice(["int4", "text"]), "secondary": rng.choice(["int4", "text"])}[table.form]
        table.columns = [Column("id", kind, table.form not in ("rowid", "autoincrement"))]
        table.key = ["id"]
        if table.form == "secondary":
            table.columns.append(Column("rid", "int8"))
            table.columns[-1].only_old = True
        if kind == "nocase":
            table.new_extra.append(f"CREATE UNIQUE INDEX {name}_id_lower ON {name} (lower(id))")
    table.without_rowid = table.form in ("integer", "text", "nocase", "pair", "replace") and rng.random() < 0.3
    for number in range(rng.randint(1, 4)):
        table.columns.append(_plain(rng, f"c{number}"))
    if rng.random() < 0.6:
        _add_link(rng, table, rng.choice(schema.tables + [table]), schema)
    for number in range(rng.choice([0, 1, 1, 2])):
        _add_unique(rng, table, f"u{number}")
    if rng.random() < 0.15:
        rng.shuffle(table.columns)
    splittable = not table.uniques and not table.new_extra and table.form != "autoincrement"
    if splittable and rng.random() < 0.3:
        table.leaves = [name + "_p0", name + "_p1"]
    return table


def _plain(rng, name):
    kind = rng.choice(values.PLAIN)
    column = Column(name, kind)
    if kind in ("int8", "int4", "text") and rng.random() < 0.4:
        column.not_null = rng.random() < 0.7
        column.default = "5" if kind != "text" else "'b'"
        column.conflict = rng.choice(["", "", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE"])
    return column


def _add_link(rng, table, parent, schema):
    if len(parent.key) != 1 or parent.kind(parent.key[0]) == "nocase":
        return
    column = Column("parent", parent.kind(parent.key[0]))
    table.columns.append(column)
    action = rng.choice([None, "CASCADE", "CASCADE", "SET NULL", "RESTRICT", "SET DEFAULT"])
    if action == "SET DEFAULT":
        column.default = "'b'" if column.kind == "text" else "5"
    table.links.append(Link("parent", parent, action, rng.choice([None, "CASCADE"]), rng.random() < 0.3))
    if schema.leave:
        table.orphans = "leave"


def _add_unique(rng, table, name):
    """One more way in which rows displace each other: on both sides, in each side's words."""
    form = rng.choice(["plain", "default", "pair", "partial", "expression", "nocase", "rtrim", "replace"])
    kind = "nocase" if form == "nocase" else "rtrim" if form == "rtrim" else rng.choice(["int8", "text"])
    if form == "expression":
        kind = "text"
    column = Column(name, kind)
    table.columns.append(column)
    if form in ("plain", "replace"):
        table.uniques.append(([name], " ON CONFLICT REPLACE" if form == "replace"
                                       else rng.choice(["", "", " ON CONFLICT IGNORE", " ON CONFLICT FAIL"])))
    elif form == "default":
        column.not_null, column.default = True, "3" if kind == "int8" else "'c'"
        table.uniques.append(([name], ""))
    elif form == "pair":
        table.columns.append(Column(name + "b", "int4"))
        table.uniques.append(([name, name + "b"], ""))
    else:
        old, new = {"partial": (f"({name}) WHERE {name} > {'3' if kind == 'int8' else chr(39) + 'a' + chr(39)}",) * 2,
                    "expression": (f"(lower({name}))",) * 2,
                    "nocase": (f"({name})", f"(lower({name}))"),
                    "rtrim": (f"({name})", f"(rtrim({name}))")}[form]
        table.old_extra.append(f"CREATE UNIQUE INDEX {table.name}_{name} ON {table.name} {old}")
        table.new_extra.append(f"CREATE UNIQUE INDEX {table.name}_{name} ON {table.name} {new}")


def _add_triggers(rng, tables):
    """The application's own: one table's writes change another's rows, or a row changes itself (recursively)."""
    table, other = rng.choice(tables), rng.choice(tables)
    numbers = [column for column in other.rest if column.kind in ("int8", "any_int") and column.name[0] == "c"]
    event = rng.choice(["INSERT", "UPDATE", "DELETE"])
    if numbers and table is not other:
        table.old_extra.append(f"CREATE TRIGGER {table.name}_app AFTER {event} ON {table.name} BEGIN "
                               f"UPDATE {other.name} SET {numbers[0].name} = 8 WHERE {numbers[0].name} < 4; END")
    if rng.random() < 0.5:
        table.old_extra.append(f"CREATE TRIGGER {table.name}_drop AFTER UPDATE ON {table.name} BEGIN DELETE FROM "
                               f"{table.name} WHERE {table.key[0]} = OLD.{table.key[0]} AND "
                               f"NEW.{table.key[0]} IS NOT OLD.{table.key[0]}; END")
    if rng.random() < 0.4:
        what = rng.choice(["RAISE(IGNORE)", "RAISE(FAIL, 'no')", "RAISE(ABORT, 'no')", "RAISE(ROLLBACK, 'no')"])
        when = f"{rng.choice(['BEFORE', 'AFTER'])} {rng.choice(['INSERT', 'UPDATE', 'DELETE'])}"
        row = "OLD" if when.endswith("DELETE") else "NEW"
        table.old_extra.append(f"CREATE TRIGGER {table.name}_raise {when} ON {table.name} WHEN {row}.rowid % 3 = 0 "
                               f"BEGIN SELECT {what}; END" if not table.without_rowid else
                               f"CREATE TRIGGER {table.name}_raise {when} ON {table.name} WHEN {row}.{table.key[0]} = 'a' "
                               f"BEGIN SELECT {what}; END")
    own = [column for column in table.rest if column.kind == "int4" and column.name[0] == "c"]
    if own:
        name = own[0].name
        same = " AND ".join(f"{key} = NEW.{key}" for key in table.key)
        table.old_extra.append(f"CREATE TRIGGER {table.name}_grow AFTER UPDATE ON {table.name} WHEN NEW.{name} BETWEEN 0 "
                               f"AND 6 BEGIN UPDATE {table.name} SET {name} = {name} + 1 WHERE {same}; END")
