"""The kinds of columns that random schemas are made of: how each is declared on both sides, and random literals for it.
Few values, so that rows collide often.
"""

WORDS = ["a", "A", "b", "B", "b ", "c", "C ", "é", "", "it''s", "x y", "日本"]
BIG_SIZES = [10, 300, 2500, 9000]
STAMPS = ["2024-01-01 00:00:00", "2024-02-29 23:59:59", "1999-12-31 12:00:00.5", "2038-01-19 03:14:07.123456",
          "1969-12-31 23:59:59"]
DATES = ["2024-01-01", "2024-02-29", "1970-01-01", "1900-03-01"]
DOCUMENTS = ['{}', '[]', '{"a":1}', '{"a": 1, "b": [1, 2.50, null]}', '{"b":[1,2.5,null],"a":1}', '"word"', '7',
             '{"deep":{"er":["x",{"y":"z"}]}}', '{"n":1e2}', 'true', 'null', '{"u":"\\u00e9"}']
REALS = ["0.0", "1.5", "-2.25", "1e20", "0.1", "3.0", "-1e-7"]
NUMBERS = ["0", "1.5", "-2.250", "12345.678", "7", "0.001", "99999999.125"]
UUIDS = [f"0000000{n}-aaaa-4bbb-8ccc-00000000000{n}" for n in range(6)]


def quoted(text):
    """A string literal; the words above are already doubled where they hold a quote."""
    return f"'{text}'"


class Kind:
    """One kind of column. `odd`: SQLite literals that PostgreSQL's type cannot take."""

    def __init__(self, old, new, sqlite, postgres=None, odd=(), fine=()):
        self.old, self.new = old, new
        self.sqlite, self.postgres = sqlite, postgres or sqlite
        self.odd, self.fine = list(odd), list(fine)


def _whole(low, high, more=()):
    return lambda rng: str(rng.choice(more)) if more and rng.random() < 0.1 else str(rng.randint(low, high))


def _one_of(choices, literal=quoted):
    return lambda rng: literal(rng.choice(choices))


def _big_old(rng):
    size, letter = rng.choice(BIG_SIZES), rng.choice("xyz")
    return f"printf('%.{size}c', '{letter}')"


def _big_new(rng):
    size, letter = rng.choice(BIG_SIZES), rng.choice("xyz")
    return f"repeat('{letter}', {size})"


def _bytes_old(rng):
    return f"x'{rng.choice(['', '00', 'ff00ff', '616263', '27'])}'"


def _bytes_new(rng):
    return f"'\\x{rng.choice(['', '00', 'ff00ff', '616263', '27'])}'::bytea"


def _bool_new(rng):
    return rng.choice(["true", "false"])


def _utc(rng):
    return f"'{rng.choice(STAMPS)}+00'"


ODD_TEXT = ["x'ff'", "CAST(x'fe41' AS TEXT)", "'nul' || char(0) || 'inside'"]

KINDS = {
    "int8": Kind("INTEGER", "bigint", _whole(0, 9, (-(2**63), 2**63 - 1, 2**53 + 1)),
                 odd=["'abc'", "1.5", "x'00ff'", "1e30"], fine=["'12'", "3.0"]),
    "int4": Kind("INT", "integer", _whole(-3, 9, (-(2**31), 2**31 - 1)), odd=["2147483648", "'x'"], fine=["'5'"]),
    "int2": Kind("SMALLINT", "smallint", _whole(-3, 9, (-32768, 32767)), odd=["40000", "'x'", "0.5"]),
    "text": Kind("TEXT", "text", _one_of(WORDS), odd=ODD_TEXT, fine=["12", "1.5"]),
    "nocase": Kind("TEXT COLLATE NOCASE", "text", _one_of(WORDS), odd=ODD_TEXT),
    "rtrim": Kind("TEXT COLLATE RTRIM", "text", _one_of(WORDS), odd=ODD_TEXT),
    "varchar": Kind("VARCHAR(8)", "varchar(8)", _one_of(WORDS), odd=["'longer than eight'"] + ODD_TEXT[:1]),
    "big": Kind("TEXT", "text", _big_old, _big_new),
    "real": Kind("REAL", "double precision", _one_of(REALS, str), odd=["'abc'", "x'01'"], fine=["2", "9e999"]),
    "numeric": Kind("DECIMAL(12,3)", "numeric(12,3)", _one_of(NUMBERS, str), odd=["'abc'", "1e20", "0.0001"]),
    "bytes": Kind("BLOB", "bytea", _bytes_old, _bytes_new, odd=["7"], fine=["'text'"]),
    "bool": Kind("BOOLEAN", "boolean", _one_of(["0", "1"], str), _bool_new, odd=["7", "'maybe'"], fine=["'true'"]),
    "json": Kind("TEXT", "json", _one_of(DOCUMENTS), odd=["'{bad'", "x'7b7d'"]),
    "jsonb": Kind("JSON", "jsonb", _one_of(DOCUMENTS), odd=["'{bad'"]),
    "stamp": Kind("DATETIME", "timestamptz", _one_of(STAMPS), _utc, odd=["'yesterday-ish'", "5"],
                  fine=["'2024-01-01T00:00:00.000Z'"]),
    "date": Kind("DATE", "date", _one_of(DATES), odd=["'soon'", "'2024-01-01 10:00:00'"]),
    "uuid": Kind("TEXT", "uuid", _one_of(UUIDS), odd=["'not-a-uuid'"]),
    "any_text": Kind("", "text", _one_of(WORDS), odd=["x'00'"], fine=["12", "1.5"]),
    "any_int": Kind("", "bigint", _whole(0, 9), odd=["'abc'", "1.5"], fine=["'5'", "4.0"]),
}

# What a secondary column may be; keys and unique columns are chosen in schema.py.
PLAIN = ["int8", "int4", "int2", "text", "nocase", "varchar", "big", "real", "numeric", "bytes", "bool", "json", "jsonb",
         "stamp", "date", "uuid", "any_text", "any_int"]

# Keys are added to and negated, so they stay far from their type's limits.
KEY_NUMBERS = {"int8": 4_000_000_000, "int4": 2_000_000_000}


def mirrored(table, column, kind):
    """Statements, as both sides take them, that exchange the keys or unique values of many rows at once."""
    if kind in KEY_NUMBERS:
        return [f"UPDATE {table} SET {column} = {column} + 100000 WHERE {column} BETWEEN 0 AND 9",
                f"UPDATE {table} SET {column} = 100009 - {column} WHERE {column} BETWEEN 100000 AND 100009"]
    return [f"UPDATE {table} SET {column} = '~' || {column}",
            f"UPDATE {table} SET {column} = CASE {column} WHEN '~a' THEN 'b' WHEN '~b' THEN 'c' WHEN '~c' THEN 'a' "
            f"ELSE substr({column}, 2) END WHERE {column} LIKE '~%'"]


def key_number(rng, kind):
    """A whole number for a key."""
    return str(KEY_NUMBERS[kind] if rng.random() < 0.03 else rng.randint(0, 9))
