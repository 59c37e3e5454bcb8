"""The PostgreSQL side of an application: the same units of work as on the old side, with native types."""
import psycopg2
import psycopg2.extensions
from psycopg2.extras import Json

from client_units import Broken, Lost, Refused, Retry, resolved


class PostgresStore:
    """Connects when it is first needed and again after a loss. A unit of work is one transaction."""

    def __init__(self, args, keys, name, defaulted=None, places=None):
        """`defaulted`: table to the timestamp that a REPLACE may leave to the database; `places`: table to (parent's
        column, column that orders), where the old side knows rows by their place and a put appends."""
        self.url, self.keys, self.name = args.postgres, keys, name
        self.defaulted, self.places = defaulted or {}, places or {}
        self.db = self.cursor = None

    def _open(self):
        if self.db is None or self.db.closed:
            try:
                self.db = psycopg2.connect(self.url, application_name=self.name, connect_timeout=5)
            except psycopg2.OperationalError as error:
                self.db = None
                raise Retry("connect", str(error)) from error
            self.db.autocommit = True       # BEGIN and COMMIT are ours, so that we know which of them failed
            self.cursor = self.db.cursor()

    def close(self):
        """Idempotent."""
        if self.db is not None:
            self.db.close()
            self.db = None

    def look(self, find):
        """What `find(fetch)` finds by SELECTs that both sides understand."""
        self._open()

        def fetch(sql, *args):
            self.cursor.execute(sql.replace("?", "%s"), args)
            return self.cursor.fetchall()
        try:
            return find(fetch)
        except psycopg2.Error as error:
            raise Retry(error.pgcode or type(error).__name__, str(error)) from error

    def run(self, writes, immediate):
        """One transaction; `immediate` has no meaning here."""
        del immediate
        self._open()
        committing, made = False, {}
        try:
            self.cursor.execute("BEGIN")
            for n, item in enumerate(writes):
                key = None if "by" in item else self._write(item, made)
                if key is not None:
                    made[str(n)] = key
            committing = True
            self.cursor.execute("COMMIT")
            if self.cursor.statusmessage != "COMMIT":
                raise Retry("rolled-back", "COMMIT answered " + self.cursor.statusmessage)
            return made
        except psycopg2.Error as error:
            raise self._explain(error, committing) from error

    def _explain(self, error, committing):
        """Roll back where there is a connection left, and say what is known."""
        code = error.pgcode or ""
        gone = self.db.closed or not code or code.startswith(("57P", "08"))
        if gone:
            self.close()
            kind = code or "connection-lost"
            return Lost(str(error)) if committing else Retry(kind, str(error))
        if self.db.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            try:
                self.cursor.execute("ROLLBACK")
            except psycopg2.Error:
                self.close()
        if code == "25006":
            return Refused(str(error))
        passes = code in ("40P01", "40001", "55P03", "57014")
        return Retry(code, str(error)) if passes else Broken(code, str(error))

    def _row(self, table, key):
        """The condition that finds a row, and its values."""
        if table not in self.places:
            return f"{self.keys[table]} = %s", (key,)
        parent, order = self.places[table]
        of, _, place = key.rpartition("/")
        return (f"{self.keys[table]} = (SELECT {self.keys[table]} FROM {table} WHERE {parent} = %s ORDER BY {order} "
                "LIMIT 1 OFFSET %s)", (of, int(place)))

    def _write(self, item, made):
        table, key = item["table"], self.keys[item["table"]]
        run = self.cursor.execute
        if item["do"] == "add":
            column = item["column"]
            row, found = self._row(table, item["key"])
            run(f"SELECT {column} FROM {table} WHERE {row}", found)
            (now,), = self.cursor.fetchall()
            run(f"UPDATE {table} SET {column} = %s WHERE {row}", (now + item["delta"], *found))
            return None
        if item["do"] == "delete":
            row, found = self._row(table, item["key"])
            run(f"DELETE FROM {table} WHERE {row}", found)
            return None
        values = {c: Json(v) if isinstance(v, (dict, list)) else v for c, v in resolved(item["values"], made).items()}
        if item["do"] == "update":
            row, found = self._row(table, item["key"])
            run(f"UPDATE {table} SET {', '.join(f'{c} = %s' for c in values)} WHERE {row}", (*values.values(), *found))
            return None
        if item["do"] == "append":
            run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))}) RETURNING {key}",
                tuple(values.values()))
            return self.cursor.fetchone()[0]
        if table in self.places:
            return self._add_behind(table, key, item["key"].rpartition("/")[0], values)
        self._put(table, key, {key: item["key"], **values})
        return None

    def _add_behind(self, table, key, parent, values):
        """The last in its parent's order; the key that the database made."""
        of, order = self.places[table]
        self.cursor.execute(
            f"INSERT INTO {table} ({of}, {order}, {', '.join(values)}) VALUES (%s, (SELECT coalesce(max({order}) + 1, 0) "
            f"FROM {table} WHERE {of} = %s), {', '.join(['%s'] * len(values))}) RETURNING {key}",
            (parent, parent, *values.values()))
        return self.cursor.fetchone()[0]

    def _put(self, table, key, values):
        """What INSERT OR REPLACE means there: columns not named go back to their default, whole seconds."""
        marks = dict.fromkeys(values, "%s")
        if table in self.defaulted:
            marks.setdefault(self.defaulted[table], "date_trunc('second', CURRENT_TIMESTAMP)")
        sets = ", ".join(f"{c} = EXCLUDED.{c}" for c in marks if c != key)
        self.cursor.execute(f"INSERT INTO {table} ({', '.join(marks)}) VALUES ({', '.join(marks.values())}) "
                            f"ON CONFLICT ({key}) DO UPDATE SET {sets}", tuple(values.values()))
