"""Random statements of an application on PostgreSQL: every way in which rows come, change and go there."""
import copy

import values

# COPY's text form of the words that need it.
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n"}


class PostgresWrites:
    """Lines of SQL; a COPY line carries its data after a line break."""

    def __init__(self, rng, schema):
        self.rng, self.tables = rng, [self.without_old(table) for table in schema.tables]
        self.prepared = 0

    @staticmethod
    def without_old(table):
        """The table as PostgreSQL has it."""
        made = copy.copy(table)
        made.columns = [column for column in table.columns if not column.only_old]
        return made

    def literal(self, column, key=False):
        """A random value for a column."""
        if key and column.kind in values.KEY_NUMBERS:
            return values.key_number(self.rng, column.kind)
        if not key and self.rng.random() < 0.15:
            return "NULL"
        if column.kind == "real" and self.rng.random() < 0.1:
            return self.rng.choice(["'NaN'", "'Infinity'", "'-Infinity'"])
        return values.KINDS[column.kind].postgres(self.rng)

    def key_is(self, table):
        """A condition on the key."""
        if self.rng.random() < 0.15:
            return f"{table.key[0]} > {self.literal(table.column(table.key[0]), True)}"
        return " AND ".join(f"{name} = {self.literal(table.column(name), True)}" for name in table.key)

    def where(self, table):
        """Any condition."""
        columns = [column for column in table.rest if column.kind != "json"]
        if self.rng.random() < 0.6 or not columns:
            return self.key_is(table)
        column = self.rng.choice(columns)
        return self.rng.choice([f"{column.name} = {self.literal(column, True)}", f"{column.name} IS NULL",
                                f"{column.name} IS DISTINCT FROM {self.literal(column, True)}"])

    def row(self, table, columns):
        """(…)"""
        return "(" + ", ".join(self.literal(column, column.name in table.key) for column in columns) + ")"

    def statement(self):
        """One statement."""
        rng, table = self.rng, self.rng.choice(self.tables)
        if rng.random() < 0.03:
            name = rng.choice([table.name, *table.leaves])
            return f"TRUNCATE {name} CASCADE" if rng.random() < 0.7 else f"TRUNCATE {name}"
        if rng.random() < 0.03:
            return f"DELETE FROM {table.name}"
        return rng.choice([self.insert, self.insert, self.upsert, self.upsert, self.update, self.update, self.update_key,
                           self.delete, self.copy, self.merge])(table)

    def insert(self, table):
        """INSERT of one or a few rows; a serial key may come by itself."""
        columns = table.columns
        if table.form == "autoincrement" and self.rng.random() < 0.6:
            columns = table.rest
        elif self.rng.random() < 0.2:
            columns = [c for c in columns if c.name in table.key or self.rng.random() < 0.6]
        rows = ", ".join(self.row(table, columns) for _ in range(self.rng.choice([1, 1, 2, 4])))
        tail = self.rng.choice(["", " ON CONFLICT DO NOTHING", " ON CONFLICT DO NOTHING"])
        if tail and any(True for _ in table.uniques):
            tail = f" ON CONFLICT ({', '.join(table.key)}) DO NOTHING"
        return f"INSERT INTO {table.name} ({', '.join(c.name for c in columns)}) VALUES {rows}{tail}"

    def upsert(self, table):
        """INSERT … ON CONFLICT DO UPDATE, of one row: a second one of the same key would be refused."""
        columns = table.columns
        head = (f"INSERT INTO {table.name} ({', '.join(c.name for c in columns)}) VALUES {self.row(table, columns)} "
                f"ON CONFLICT ({', '.join(table.key)}) DO ")
        if not table.rest:
            return head + "NOTHING"
        changed = self.rng.sample(table.rest, self.rng.randint(1, len(table.rest)))
        return head + "UPDATE SET " + ", ".join(f"{c.name} = excluded.{c.name}" for c in changed)

    def update(self, table):
        """UPDATE of a column or two; big values stay where they are."""
        if not table.rest:
            return self.delete(table)
        some = self.rng.sample(table.rest, min(len(table.rest), self.rng.choice([1, 1, 2])))
        return f"UPDATE {table.name} SET {', '.join(f'{c.name} = {self.literal(c)}' for c in some)} WHERE {self.where(table)}"

    def update_key(self, table):
        """Another key."""
        column = table.column(self.rng.choice(table.key))
        if column.kind in ("int8", "int4") and self.rng.random() < 0.3:
            return (f"UPDATE {table.name} SET {column.name} = {column.name} {self.rng.choice(['+ 10', '* -1', '+ 1'])} "
                    f"WHERE {self.where(table)}")
        return f"UPDATE {table.name} SET {column.name} = {self.literal(column, True)} WHERE {self.key_is(table)}"

    def delete(self, table):
        """DELETE of some."""
        return f"DELETE FROM {table.name} WHERE {self.where(table)}"

    def merge(self, table):
        """INSERT … SELECT from itself, keys shifted."""
        picked = []
        for column in table.columns:
            if column.name in table.key:
                picked.append(f"{column.name} + 20" if column.kind in ("int8", "int4") else f"{column.name} || 'q'")
            else:
                picked.append(column.name if self.rng.random() < 0.7 else self.literal(column))
        return (f"INSERT INTO {table.name} ({', '.join(c.name for c in table.columns)}) SELECT {', '.join(picked)} FROM "
                f"{table.name} WHERE {self.key_is(table)} ON CONFLICT DO NOTHING")

    def copy(self, table):
        """COPY FROM STDIN, of kinds whose text needs no thought."""
        columns = [c for c in table.columns if c.kind in ("int8", "int4", "int2", "text", "bool", "date", "uuid", "stamp")
                   or c.name in table.key]
        rows = []
        for _ in range(self.rng.choice([1, 3])):
            cells = [self.literal(c, c.name in table.key) for c in columns]
            rows.append("\t".join("\\N" if cell == "NULL" else cell.strip("'").replace("''", "'") for cell in cells))
        return f"COPY {table.name} ({', '.join(c.name for c in columns)}) FROM STDIN\n" + "\n".join(rows) + "\n"

    def swap(self):
        """Two rows exchange keys or unique values, by way of a third."""
        table = self.rng.choice(self.tables)
        names = list(table.key if len(table.key) == 1 else []) + [c.name for c in table.columns if c.name[0] == "u"]
        if not names:
            return [self.statement()]
        column = table.column(self.rng.choice(names))
        if self.rng.random() < 0.5 and column.kind in ("int8", "int4", "text", "nocase", "rtrim"):
            return values.mirrored(table.name, column.name, column.kind)
        first, second = self.literal(column, True), self.literal(column, True)
        way = "-77" if column.kind in ("int8", "int4") else "'by way'"
        return [f"UPDATE {table.name} SET {column.name} = {after} WHERE {column.name} = {before}"
                for before, after in ((first, way), (second, first), (way, second))]

    def transaction(self):
        """The statements of one transaction, or of none."""
        rng = self.rng
        lines = self.swap() if rng.random() < 0.2 else [self.statement() for _ in range(rng.choice([1, 1, 2, 4, 7]))]
        if len(lines) == 1 and rng.random() < 0.7:
            return lines
        if rng.random() < 0.4:
            at = rng.randint(0, len(lines))
            inner = [self.statement() for _ in range(rng.randint(1, 3))]
            undo = ["ROLLBACK TO s"] if rng.random() < 0.6 else []
            lines[at:at] = ["SAVEPOINT s", *inner, *undo, "RELEASE s"]
        settings = []
        if rng.random() < 0.3:
            settings.append("SET LOCAL synchronous_commit = off")
        if rng.random() < 0.3:
            settings.append("SET CONSTRAINTS ALL DEFERRED")
        end = ["ROLLBACK"] if rng.random() < 0.1 else ["COMMIT"]
        if rng.random() < 0.12:
            self.prepared += 1
            name = f"p{self.prepared}"
            settings = [line for line in settings if "CONSTRAINTS" not in line]
            end = [f"PREPARE TRANSACTION '{name}'", rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]) + f" PREPARED '{name}'"]
        return ["BEGIN", *settings, *lines, *end]

    def large(self, rows):
        """One transaction of many rows, if some table can have them."""
        for table in self.tables:
            needed = [c for c in table.columns if c.name in table.key]
            if len(needed) == 1 and needed[0].kind in ("int8", "int4") and not table.links and not table.uniques:
                others = [c for c in table.rest if c.not_null and c.default is None]
                if not others:
                    return ["BEGIN", f"INSERT INTO {table.name} ({needed[0].name}) SELECT g FROM generate_series(1000, "
                            f"{1000 + rows}) g ON CONFLICT DO NOTHING", "COMMIT",
                            f"DELETE FROM {table.name} WHERE {needed[0].name} > 1020"]
        return self.transaction()
