"""Random statements of an application on SQLite: every way in which rows come, change, displace each other and go."""
import values

# Where only one of several rows can have a value, it is the first one: let triggers not make SQLite visit them by
# another index.
IN_ORDER = "NOT INDEXED"
CONFLICT = ["", "", " OR REPLACE", " OR REPLACE", " OR IGNORE", " OR FAIL", " OR ROLLBACK", " OR ABORT"]


class SqliteWrites:
    """`odd`: now and then a value that PostgreSQL's type cannot take. `prefix` names the attached database to write to."""

    def __init__(self, rng, schema, odd=False):
        self.rng, self.tables, self.odd = rng, schema.tables, odd
        self.prefix = ""

    def literal(self, column, key=False):
        """A random value for a column."""
        if key and column.kind in values.KEY_NUMBERS:
            return values.key_number(self.rng, column.kind)
        if column.only_old:  # beyond its greatest number SQLite would go on with random ones
            return self.rng.choice(["NULL", str(self.rng.randint(0, 9))])
        kind = values.KINDS[column.kind]
        if self.odd and not key and self.rng.random() < 0.08:
            return self.rng.choice(kind.odd) if kind.odd else "NULL"
        if not key and kind.fine and self.rng.random() < 0.05:
            return self.rng.choice(kind.fine)
        if not key and self.rng.random() < 0.15:
            return "NULL"
        return kind.sqlite(self.rng)

    def key_is(self, table):
        """A condition on the key."""
        if self.rng.random() < 0.15:
            return f"{table.key[0]} > {self.literal(table.column(table.key[0]), True)}"
        return " AND ".join(f"{name} = {self.literal(table.column(name), True)}" for name in table.key)

    def where(self, table):
        """Any condition."""
        if self.rng.random() < 0.6 or not table.rest:
            return self.key_is(table)
        column = self.rng.choice(table.rest)
        return self.rng.choice([f"{column.name} = {self.literal(column, True)}", f"{column.name} IS NULL",
                                f"{column.name} IS NOT {self.literal(column, True)}"])

    def some(self, columns):
        """One or two columns."""
        return self.rng.sample(columns, min(len(columns), self.rng.choice([1, 1, 2])))

    def name(self, table):
        """The table as a statement names it."""
        return self.prefix + table.name

    def row(self, table, columns):
        """(…)"""
        return "(" + ", ".join(self.literal(column, column.name in table.key) for column in columns) + ")"

    def chosen(self, table):
        """Columns that an INSERT names: all, or some are left to their defaults."""
        if self.rng.random() < 0.3:
            kept = [column for column in table.columns if column.name in table.key or self.rng.random() < 0.6]
            if table.form == "autoincrement" and self.rng.random() < 0.5:
                kept = [column for column in kept if column.name not in table.key]
            return kept or table.columns
        return table.columns

    def statement(self):
        """One statement."""
        rng, table = self.rng, self.rng.choice(self.tables)
        makers = [self.insert, self.insert, self.insert, self.update, self.update, self.update_key, self.delete, self.upsert,
                  self.insert_select]
        if table.has_hidden_rowid() and rng.random() < 0.3:
            makers = [self.rowid]
        if rng.random() < 0.04:
            return f"DELETE FROM {self.name(table)}"
        return rng.choice(makers)(table)

    def insert(self, table):
        """INSERT [OR …] of one or a few rows."""
        columns = self.chosen(table)
        rows = ", ".join(self.row(table, columns) for _ in range(self.rng.choice([1, 1, 2, 4])))
        verb = "REPLACE" if self.rng.random() < 0.2 else "INSERT" + self.rng.choice(CONFLICT)
        return f"{verb} INTO {self.name(table)} ({', '.join(c.name for c in columns)}) VALUES {rows}"

    def update(self, table):
        """UPDATE [OR …] of a column or two."""
        if not table.rest:
            return self.delete(table)
        changes = ", ".join(f"{c.name} = {self.literal(c)}" for c in self.some(table.rest))
        return f"UPDATE{self.rng.choice(CONFLICT)} {self.name(table)} {IN_ORDER} SET {changes} WHERE {self.where(table)}"

    def update_key(self, table):
        """Another key: one row's, or all by arithmetic."""
        column = table.column(self.rng.choice(table.key))
        conflict = self.rng.choice(CONFLICT)
        if column.kind in ("int8", "int4") and self.rng.random() < 0.3:
            step = self.rng.choice(["+ 1", "- 1", "+ 10", "* -1"])
            return (f"UPDATE{conflict} {self.name(table)} {IN_ORDER} SET {column.name} = {column.name} {step} "
                    f"WHERE {self.where(table)}")
        if column.kind in ("text", "nocase") and self.rng.random() < 0.4:
            function = self.rng.choice(["upper", "lower", "trim"])
            return f"UPDATE{conflict} {self.name(table)} {IN_ORDER} SET {column.name} = {function}({column.name})"
        return (f"UPDATE{conflict} {self.name(table)} {IN_ORDER} SET {column.name} = {self.literal(column, True)} "
                f"WHERE {self.key_is(table)}")

    def delete(self, table):
        """DELETE of some."""
        return f"DELETE FROM {self.name(table)} WHERE {self.where(table)}"

    def upsert(self, table):
        """INSERT … ON CONFLICT."""
        columns = table.columns
        head = f"INSERT INTO {self.name(table)} ({', '.join(c.name for c in columns)}) VALUES {self.row(table, columns)}"
        if self.rng.random() < 0.2 or not table.rest:
            return head + " ON CONFLICT DO NOTHING"
        target, changed = table.key, self.some(table.rest)
        if table.uniques and self.rng.random() < 0.4:
            target, changed = table.uniques[0][0], self.some(table.columns)
        changes = ", ".join(f"{c.name} = " + (f"excluded.{c.name}" if self.rng.random() < 0.5
                                              else self.literal(c, c.name in table.key)) for c in changed)
        return f"{head} ON CONFLICT ({', '.join(target)}) DO UPDATE SET {changes}"

    def insert_select(self, table):
        """INSERT … SELECT from itself or a like table: keys shifted, all else as it was."""
        columns = table.columns
        picked = []
        for column in columns:
            if column.name in table.key and column.kind in ("int8", "int4"):
                picked.append(f"{column.name} + {self.rng.choice([0, 1, 3])}")
            elif column.name in table.key:
                picked.append(f"{column.name} || {self.rng.choice(['', '1', chr(39) + 'z' + chr(39)]) or chr(39) * 2}")
            else:
                picked.append(column.name if self.rng.random() < 0.7 else self.literal(column))
        return (f"INSERT{self.rng.choice(CONFLICT)} INTO {self.name(table)} ({', '.join(c.name for c in columns)}) SELECT "
                f"{', '.join(picked)} FROM {self.name(table)} WHERE {self.where(table)}")

    def rowid(self, table):
        """Writes that name the hidden rowid, which displaces rows too."""
        conflict = self.rng.choice(CONFLICT)
        number = self.rng.randint(1, 6)
        if self.rng.random() < 0.5:
            return f"UPDATE{conflict} {self.name(table)} SET rowid = {number} WHERE rowid = {self.rng.randint(1, 6)}"
        columns = table.columns
        return (f"INSERT{conflict} INTO {self.name(table)} (rowid, {', '.join(c.name for c in columns)}) VALUES "
                f"({number}, {self.row(table, columns)[1:]}")

    def large(self):
        """One transaction of many rows or of big values: more than one chunk."""
        table = self.rng.choice(self.tables)
        big = [column.name for column in table.rest if column.kind == "big"]
        if len(table.key) != 1 or table.kind(table.key[0]) not in ("int8", "int4"):
            return self.transaction()
        columns = [c for c in table.columns if c.name in table.key or c.not_null or c.name in big]
        picked = ["n" if c.name in table.key else "printf('%.9000c', 'w')" if c.name in big else
                  "'w' || n" if c.kind in ("text", "nocase", "rtrim") else "n" for c in columns]
        name = self.name(table)
        return ["BEGIN", f"INSERT OR IGNORE INTO {name} ({', '.join(c.name for c in columns)}) WITH RECURSIVE s(n) AS (SELECT "
                f"1000 UNION ALL SELECT n + 1 FROM s WHERE n < 1300) SELECT {', '.join(picked)} FROM s", "COMMIT",
                f"UPDATE {name} SET {table.key[0]} = {table.key[0]} + 1000 WHERE {table.key[0]} > 1200",
                f"DELETE FROM {name} WHERE {table.key[0]} > 1020"]

    def swap(self):
        """Two rows exchange a unique value or their keys, by way of a third."""
        table = self.rng.choice(self.tables)
        names = list(table.key if len(table.key) == 1 else []) + [c.name for c in table.columns if c.name[0] == "u"]
        if not names:
            return [self.statement()]
        column = table.column(self.rng.choice(names))
        if self.rng.random() < 0.5 and column.kind in ("int8", "int4", "text", "nocase", "rtrim"):
            return values.mirrored(self.name(table), column.name, column.kind)
        first, second = self.literal(column, True), self.literal(column, True)
        way = "-77" if column.kind in ("int8", "int4") else "'by way'"
        turns = [(first, way), (second, first), (way, second)]
        if self.rng.random() < 0.3:
            third = self.literal(column, True)
            turns = [(first, way), (second, first), (third, second), (way, third)]
        return [f"UPDATE {self.name(table)} SET {column.name} = {after} WHERE {column.name} = {before}"
                for before, after in turns]

    def transaction(self):
        """The statements of one transaction, or of none."""
        rng = self.rng
        lines = self.swap() if rng.random() < 0.2 else [self.statement() for _ in range(rng.choice([1, 1, 2, 4, 7]))]
        if len(lines) == 1 and rng.random() < 0.7:
            return lines
        if rng.random() < 0.3:
            at = rng.randint(0, len(lines))
            inner = [self.statement() for _ in range(rng.randint(1, 3))]
            undo = ["ROLLBACK TO s"] if rng.random() < 0.6 else []
            lines[at:at] = ["SAVEPOINT s", *inner, *undo, "RELEASE s"]
        begin = rng.choice(["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
        return [begin, *lines, "ROLLBACK" if rng.random() < 0.1 else "COMMIT"]

    def attached(self):
        """A connection's second database: rows go there and come back, in one transaction over both."""
        table = self.rng.choice(self.tables)
        copy = f"other.copy_{table.name}"
        return [f"CREATE TABLE IF NOT EXISTS {copy} AS SELECT * FROM main.{table.name} LIMIT 3", "BEGIN",
                f"INSERT INTO {copy} SELECT * FROM main.{table.name} LIMIT 2", self.statement(),
                f"INSERT OR REPLACE INTO main.{table.name} SELECT * FROM {copy} LIMIT 3",
                "ROLLBACK" if self.rng.random() < 0.3 else "COMMIT"]
