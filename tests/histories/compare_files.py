"""Compares documents with PostgreSQL's rows: by hand-written rules of what a JSON value means in a column of a kind, and
of which rows a record makes. Shares nothing with the program and does not read its configuration: a script's own list of
collections says how its records were made.

A record is a tree: its row, and the rows of its inner elements below it. Identities that documents have no room for are
not compared but join the rows of a tree; of places only the order counts.
"""
import json
from decimal import Decimal, InvalidOperation

import compare
import json_text
from compare import Misfit
from json_text import Number

INTEGERS = (-(2**63), 2**63 - 1)


def _spelled(value):
    """What text takes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise Misfit(value)
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise Misfit(value)
    return str(value)


def _number(value):
    if not isinstance(value, str):
        raise Misfit(value)
    try:
        return Decimal(value)
    except InvalidOperation:
        raise Misfit(value) from None


def _integer(value):
    number = _number(value)
    if number != number.to_integral_value() or not INTEGERS[0] <= number <= INTEGERS[1]:
        raise Misfit(value)
    return int(number)


def _bool(value):
    word = value if isinstance(value, bool) else {"0": False, "1": True, "true": True, "false": False}.get(value)
    if word is None:
        raise Misfit(value)
    return word


def frozen(value):
    """A document by its meaning."""
    if isinstance(value, dict):
        return ("{}",) + tuple(sorted((_spelled(name), frozen(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("[]",) + tuple(frozen(inner) for inner in value)
    if isinstance(value, Number):
        return ("number", Decimal(value))
    return (type(value).__name__, _spelled(value) if isinstance(value, str) else value)


def _only_text(value):
    if isinstance(value, Number) or not isinstance(value, str):
        raise Misfit(value)
    return value


def _list(value):
    if not isinstance(value, list):
        raise Misfit(value)
    return tuple(None if item is None else _spelled(item) for item in value)


MEANINGS = {
    "text": _spelled, "int8": _integer, "numeric": _number, "real": lambda v: float(_number(v)), "bool": _bool,
    "json": frozen, "jsonb": frozen, "list": _list,
    "stamp": lambda v: compare.meaning("stamp", _only_text(v)), "date": lambda v: compare.meaning("date", _only_text(v)),
    "uuid": lambda v: compare.meaning("uuid", _only_text(v)),
}


def meaning(kind, value):
    """What a value of a document means in a column; Misfit if nothing."""
    return None if value is None else MEANINGS[kind](value)


def of_postgres(kind, value):
    """The same of a value that PostgreSQL spelled as text (a list apart)."""
    if value is None:
        return None
    if kind in ("json", "jsonb"):
        return frozen(json_text.read(value.encode()))
    return tuple(value) if kind == "list" else meaning(kind, value)


class Tree:
    """A row with what hangs on it."""

    def __init__(self, key, values, place=None):
        self.key, self.values, self.place, self.inner = key, values, place, {}

    def same(self):
        """What must be equal on both sides."""
        return self.key, self.values, tuple((name, tuple(tree.same() for tree in trees))
                                            for name, trees in sorted(self.inner.items()))

    def __repr__(self):
        return repr(self.same())


def find(document, path):
    """The value at a path of names; None if it is absent."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _values(table, element):
    out = []
    for column in table["columns"]:
        value = find(element, column["path"]) if column["path"] else element
        out.append(meaning(column["kind"], Number(column["else"]) if value is None and column["else"] else value))
    return tuple(out)


def _rest(collection, table, record):
    taken = {column["path"][0] for column in table["columns"]} | {"id", collection["group"]}
    taken |= {other["member"] for other in collection["tables"] if other["parent"] == table["name"]}
    return frozen({name: value for name, value in record.items() if name not in taken})


def of_document(collection, table, element, key):
    """The tree of a record or an element."""
    values = _values(table, element)
    if table["parent"] is None:
        values += (find(element, [collection["group"]]) if collection["group"] else None,)
    tree = Tree(key, values + ((_rest(collection, table, element),) if table["rest"] else ()))
    for inner in [other for other in collection["tables"] if other["parent"] == table["name"]]:
        held = element.get(inner["member"]) if isinstance(element, dict) else None
        if held is None:
            held = {} if inner["shape"] == "map" else []
        if inner["shape"] == "map":
            pairs = sorted(held.items())
        elif inner["shape"] == "object":
            pairs = [("", held)] if held != [] else []
        else:
            pairs = [(item["sku"] if inner["shape"] == "keyed" else "", item) for item in held]
        trees = [of_document(collection, inner, item, _key(name)) for name, item in pairs]
        if inner["shape"] in ("keyed", "map") and len({tree.key for tree in trees}) != len(trees):
            raise Misfit("two elements with one key")
        tree.inner[inner["name"]] = trees if inner["place"] else sorted(trees, key=lambda t: repr(t.same()))
    return tree


def _key(value):
    if value is None or not isinstance(value, str):
        raise Misfit(value)
    return _spelled(value)


def of_records(collection, records):
    """(trees in their order, keys of records that PostgreSQL cannot take whole, what is wrong with each) of a
    collection's (key, record) pairs."""
    trees, unfit, keys, misfits = [], set(), set(), []
    for key, record in records:
        try:
            key = str(_integer(key)) if collection["key"] == "int8" else _key(key)
        except Misfit:
            misfits.append(f"{collection['name']}: no key: {key!r}")
            continue
        if key in keys:
            unfit.add(key)
            misfits.append(f"{collection['name']} {key}: there twice")
        keys.add(key)
        try:
            trees.append(of_document(collection, collection["tables"][0], record, key))
        except Misfit as misfit:
            unfit.add(key)
            misfits.append(f"{collection['name']} {key}: {misfit}")
    return [tree for tree in trees if tree.key not in unfit], unfit, misfits


def _rows(cursor, collection, table):
    """(id, parent, key, place, values) of each of PostgreSQL's rows."""
    identity = "id::text" if table["parent"] is None or table["has_id"] else "NULL"
    parent = "parent::text" if table["parent"] else "NULL"
    key = {"record": "id::text", "keyed": "sku", "map": "name"}.get(table["shape"], "''")
    place = table["place"] or "NULL"
    columns = [column["column"] + ("" if column["kind"] == "list" else "::text") for column in table["columns"]]
    if table["parent"] is None:
        columns.append("grp" if collection["group"] else "NULL")
    if table["rest"]:
        columns.append("rest::text")
    cursor.execute(f"SELECT {', '.join([identity, parent, key, place] + columns)} FROM {table['name']}")
    kinds = [column["kind"] for column in table["columns"]] + ["text"] * (table["parent"] is None) + ["json"] * table["rest"]
    for identity, parent, key, place, *values in cursor.fetchall():
        yield identity, parent, Tree(key, tuple(map(of_postgres, kinds, values)), place)


def of_tables(cursor, collection):
    """(trees of a collection's tables, lines of rows whose parent is missing)."""
    by_id, top, orphans = {}, [], []
    for table in collection["tables"]:
        by_id[table["name"]] = {}
        inside = [other["name"] for other in collection["tables"] if other["parent"] == table["name"]]
        for identity, parent, tree in _rows(cursor, collection, table):
            tree.inner = {name: [] for name in inside}
            by_id[table["name"]][identity] = tree
            if not table["parent"]:
                top.append(tree)
            elif parent in by_id[table["parent"]]:
                by_id[table["parent"]][parent].inner[table["name"]].append(tree)
            else:
                orphans.append(f"{table['name']}: {tree}, of {parent}, which is not there")
    return top, orphans


def _in_order(table, trees, like):
    """Inner trees by their place; those of one place in the order of `like`."""
    if not table["place"]:
        return sorted(trees, key=lambda t: repr(t.same()))
    wanted = [repr(tree.same()) for tree in like]
    return sorted(trees, key=lambda t: (t.place is not None, t.place or 0,
                                        wanted.index(repr(t.same())) if repr(t.same()) in wanted else -1))


def _arrange(collection, table, tree, like):
    """Brings what hangs on a tree of PostgreSQL's into order, the innermost first."""
    for inner in [other for other in collection["tables"] if other["parent"] == table["name"]]:
        trees, wanted = tree.inner[inner["name"]], like.inner[inner["name"]] if like else []
        for one in trees:
            _arrange(collection, inner, one, next((w for w in wanted if (w.key, w.values) == (one.key, one.values)), None))
        tree.inner[inner["name"]] = _in_order(inner, trees, wanted)


def in_the_way(table, quarantined):
    """Keys of records whose unique value, a place, PostgreSQL still has in another row."""
    return {str(json.loads(key)[0]) for name, key, reason in quarantined
            if name == f"public.{table['name']}" and "violates unique constraint" in reason}


def differences(collections, records_of, cursor, quarantined):
    """Lines of what differs; [] if all is equal, records that do not fit left aside. `records_of(collection)` gives the
    (key, record) pairs of its files, `quarantined` is (table, key, reason) of each row that is held back."""
    lines, misfits = [], []
    for collection in collections:
        old, unfit, reasons = of_records(collection, records_of(collection))
        misfits += reasons
        top = collection["tables"][0]
        if unfit:  # such a record's row stays what and where it was, and may be in the way of others
            unfit |= in_the_way(top, quarantined)
            old = [tree for tree in old if tree.key not in unfit]
        rows, orphans = of_tables(cursor, collection)
        lines += orphans
        new = [tree for tree in rows if tree.key not in unfit]
        by_key = {tree.key: tree for tree in old}
        for tree in new:
            _arrange(collection, top, tree, by_key.get(tree.key))
        there = {tree.key: tree for tree in new}
        for key in sorted(set(by_key) | set(there)):
            one, other = by_key.get(key), there.get(key)
            if one is None or other is None or one.same() != other.same():
                lines.append(f"{collection['name']} {key}: file {one or 'has no such record'}, PostgreSQL "
                             f"{other or 'has no such row'}")
        if top["place"] and not lines and not unfit:
            places = [there[tree.key].place for tree in old]
            if None not in places and places != sorted(places):
                lines.append(f"{collection['name']}: the places of {[t.key for t in old]} are {places}")
    if quarantined and not misfits:
        lines.append(f"{len(quarantined)} rows are in quarantine, and every record fits")
    if misfits and not quarantined:
        lines.append(f"nothing is in quarantine, and these do not fit: {misfits}")
    return lines
