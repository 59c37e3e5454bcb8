"""Compares the two sides of a history: by hand-written rules of what a SQLite value means in a column's declared type.

It shares nothing with the program and does not read its configuration: a script's own list of tables says what each
column was declared as. A row that PostgreSQL cannot take must be in quarantine; every other row must be identical.
"""
import json
import math
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation

RANGES = {"int2": 15, "int4": 31, "int8": 63, "any_int": 63}
TEXTS = {"text", "nocase", "rtrim", "varchar", "big", "any_text"}
WORDS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d{1,6})?(Z|[+-]\d\d(?::?\d\d)?)?")


class Misfit(Exception):
    """This value has no counterpart in the other side's type."""


def _whole(value, bits):
    if isinstance(value, str):
        if not re.fullmatch(r"0|-?[1-9]\d*", value):
            raise Misfit(value)
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or not -(1 << bits) <= value < 1 << bits:
        raise Misfit(value)
    return value


def _text(value):
    if isinstance(value, Undecodable) or isinstance(value, bytes):
        raise Misfit(value)
    if isinstance(value, float):
        return repr(value)
    text = str(value)
    if "\0" in text:
        raise Misfit(value)
    return text


def _real(value):
    try:
        number = float(value) if isinstance(value, (int, float, str)) else _refuse(value)
    except ValueError:
        return _refuse(value)
    return "NaN" if math.isnan(number) else number


def _refuse(value):
    raise Misfit(value)


def _decimal(value, digits=None):
    if isinstance(value, (bytes, Undecodable)):
        raise Misfit(value)
    try:
        number = Decimal(repr(value) if isinstance(value, float) else str(value))
    except InvalidOperation:
        raise Misfit(value) from None
    if number.is_nan():
        return "NaN"
    if digits and (abs(number) >= 10 ** (digits[0] - digits[1])
                   or number != number.quantize(Decimal(1).scaleb(-digits[1]))):
        raise Misfit(value)
    return number


def _json(value):
    """A document by its meaning: numbers as exact decimals, members in any order."""
    if isinstance(value, (bytes, Undecodable)):
        raise Misfit(value)
    if isinstance(value, (int, float)):
        value = repr(value)
    try:
        return _frozen(json.loads(value, parse_float=Decimal, parse_int=Decimal))
    except ValueError:
        raise Misfit(value) from None


def _frozen(document):
    if isinstance(document, dict):
        return ("{}",) + tuple(sorted((name, _frozen(inner)) for name, inner in document.items()))
    if isinstance(document, list):
        return ("[]",) + tuple(_frozen(inner) for inner in document)
    return (type(document).__name__, document)


def _stamp(value):
    found = STAMP.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise Misfit(value)
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    micros = int(((found[7] or ".0")[1:] + "000000")[:6])
    zone = (found[8] or "Z").replace(":", "")
    shift = timedelta(0)
    if zone != "Z":
        shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5] or 0)) * (1 if zone[0] == "+" else -1)
    moment = datetime(year, month, day, hour, minute, second, micros, tzinfo=timezone.utc) - shift
    return (moment - EPOCH) // timedelta(microseconds=1)


def _date(value):
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise Misfit(value)
    return value


def meaning(kind, value):
    """What a value read from SQLite means in a column of this kind; Misfit if nothing."""
    if value is None:
        return None
    if kind in RANGES:
        return _whole(value, RANGES[kind])
    if kind in TEXTS:
        text = _text(value)
        return text if kind != "varchar" or len(text) <= 8 else _refuse(value)
    if kind == "real":
        return _real(value)
    if kind == "numeric":
        return _decimal(value, (12, 3))
    if kind == "bytes":
        value = value.raw if isinstance(value, Undecodable) else value
        return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else _refuse(value)
    if kind == "bool":
        word = WORDS.get(value.lower()) if isinstance(value, str) else {0: False, 1: True}.get(value, None)
        return word if word is not None else _refuse(value)
    if kind in ("json", "jsonb"):
        return _json(value)
    if kind == "stamp":
        return _stamp(value)
    if kind == "date":
        return _date(value)
    if kind == "uuid":
        return value.lower() if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F-]{36}", value) else _refuse(value)
    raise AssertionError(f"no such kind: {kind}")


class Undecodable:
    """Text of SQLite that is not UTF-8."""

    def __init__(self, raw):
        self.raw = raw

    def __repr__(self):
        return f"undecodable {self.raw!r}"

    def __eq__(self, other):
        return isinstance(other, Undecodable) and self.raw == other.raw

    def __hash__(self):
        return hash(self.raw)


def decode(raw):
    """For sqlite3.Connection.text_factory."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Undecodable(raw)


def _ident(name):
    return '"' + name.replace('"', '""') + '"'


def read_old(connection, table):
    """(rows by key, rows that have no meaning in PostgreSQL, every key there is) of SQLite's table."""
    columns = table["columns"]
    width = len(table["key"])
    connection.text_factory = decode
    names = ", ".join(_ident(name) for name, _ in columns)
    rows, misfits, keys = {}, [], set()
    for values in connection.execute(f"SELECT {names} FROM {_ident(table['name'])}"):
        try:
            key = tuple(meaning(kind, value) for (_, kind), value in zip(columns[:width], values))
            if None in key or key in keys:
                raise Misfit("no key, or a second row with the same")
            keys.add(key)
            rows[key] = key + tuple(meaning(kind, value) for (_, kind), value in zip(columns[width:], values[width:]))
        except Misfit:
            misfits.append(values)
    return rows, misfits, keys


def read_new(cursor, table):
    """{key: row} of PostgreSQL's table."""
    columns = table["columns"]
    names = ", ".join(_ident(name) + ("::text" if kind in ("json", "jsonb", "stamp", "date", "uuid") else "")
                      for name, kind in columns)
    cursor.execute(f"SELECT {names} FROM {_ident(table['name'])}")
    rows = {}
    for values in cursor:
        row = tuple(_of_postgres(kind, value) for (_, kind), value in zip(columns, values))
        rows[row[:len(table["key"])]] = row
    return rows


def _of_postgres(kind, value):
    if value is None:
        return None
    if kind == "bytes":
        return bytes(value)
    if kind == "numeric":
        return "NaN" if value.is_nan() else value
    if kind == "real" and math.isnan(value):
        return "NaN"
    return meaning(kind, value) if kind in ("json", "jsonb", "stamp") else value


def take_orphans(table, rows, keys, new):
    """Takes out rows whose parent SQLite does not have; (those that PostgreSQL cannot have, those it may have). If
    PostgreSQL still has the parent, because it could not be deleted there, then that is what is in quarantine. (A row
    whose parent is there, but is no row that PostgreSQL can take, is as any other: an older image may be there.)"""
    sure, held = [], []
    if table.get("orphans") == "leave":
        return sure, held
    for link in table.get("references", ()):
        at = [name for name, _ in table["columns"]].index(link["column"])
        for key in [key for key, row in rows.items() if row[at] is not None and (row[at],) not in keys[link["parent"]]]:
            if (rows[key][at],) in new[link["parent"]]:
                held.append(key)
            else:
                sure.append(rows.pop(key))
    return sure, held


def differences(tables, sqlite, cursor, quarantined):
    """Lines of what differs; [] if every row is identical or, being a misfit, in quarantine.

    `quarantined` is the number of entries. A misfit's older image may still be in PostgreSQL, and what depends on it may
    be held up, so with misfits as many keys may differ as there are entries. Without misfits the quarantine is empty.
    """
    old, new, keys, unfit, reasons, lines = {}, {}, {}, [], 0, []
    for table in tables:
        name = table["name"]
        old[name], misfits, keys[name] = read_old(sqlite, table)
        new[name] = read_new(cursor, table)
        unfit += [(name, row) for row in misfits]
    for table in tables:
        sure, held = take_orphans(table, old[table["name"]], keys, new)
        unfit += [(table["name"], row) for row in sure]
        reasons += len(held)
        lines += _table(table, old[table["name"]], new[table["name"]])
    reasons += len(unfit)
    if not reasons:
        return lines + ([f"{quarantined} rows are in quarantine, and every row of SQLite fits"] if quarantined else [])
    if quarantined < len(unfit):
        return lines + [f"{len(unfit)} rows have no counterpart, {quarantined} are in quarantine: {str(unfit)[:2000]}"]
    return lines if len(lines) > quarantined else []


def _table(table, old, new):
    return [f"{table['name']} {key}: SQLite {old.get(key, 'has no such row')}, PostgreSQL {new.get(key, 'has no such row')}"
            for key in sorted(set(old) | set(new), key=repr) if old.get(key) != new.get(key)]
