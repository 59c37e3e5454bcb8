"""What a value means to the checker, whichever side it comes from: numbers exact, dates as microseconds since 1970."""
import json
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import lru_cache

MONTHS = {m: n + 1 for n, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
MICROS = 1_000_000


class Unreadable:
    """A value that has no meaning in its column's type; equal to nothing."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"unreadable {self.value!r}"


@lru_cache(4096)
def day_micros(year, month, day):
    """Midnight UTC in microseconds since 1970."""
    return (date(year, month, day).toordinal() - 719163) * 86400 * MICROS


def clock_micros(text):
    """hh:mm:ss"""
    return (int(text[0:2]) * 3600 + int(text[3:5]) * 60 + int(text[6:8])) * MICROS


def read_time(text):
    """Microseconds since 1970 of any spelling an application ever used; without a zone it is UTC."""
    if text[:1].isalpha():          # Mon Nov 25 01:23:24 +0000 2024
        _, month, day, clock, zone, year = text.split()
        shift = (int(zone[1:3]) * 3600 + int(zone[3:5]) * 60) * MICROS * (-1 if zone[0] == "-" else 1)
        return day_micros(int(year), MONTHS[month], int(day)) + clock_micros(clock) - shift
    if len(text) == 10:
        return day_micros(int(text[:4]), int(text[5:7]), int(text[8:10]))
    if len(text) == 19 and text[10] == " ":
        return day_micros(int(text[:4]), int(text[5:7]), int(text[8:10])) + clock_micros(text[11:])
    if len(text) == 24 and text[10] == "T" and text[19] == "." and text[23] == "Z":
        return (day_micros(int(text[:4]), int(text[5:7]), int(text[8:10])) + clock_micros(text[11:19])
                + int(text[20:23]) * 1000)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86400 + since.seconds) * MICROS + since.microseconds


def no_constant(word):
    """Python reads NaN and Infinity; JSON has neither."""
    raise ValueError(word)


def read_json(text):
    """Exact numbers; of a member that comes twice the last counts, as in jsonb."""
    return json.loads(text, parse_float=Decimal, parse_constant=no_constant)


def from_postgres(kind, value):
    """Meaning of a value as selected by the checker."""
    return read_json(value) if kind == "json" and value is not None else value


def from_journal(kind, value):
    """Meaning of a journalled value: native JSON types, dates as ISO, decimals as text. Numbers in JSON were parsed
    as floats there."""
    if value is None:
        return value
    if kind == "time":
        return read_time(value)
    if kind == "json":
        return read_json(json.dumps(value))
    return Decimal(value) if kind == "decimal" else value


def same(a, b):
    """Equality of meaning. True is not 1, and a Decimal 1.50 is 1.5 is not "1.5"."""
    if isinstance(a, dict):
        return isinstance(b, dict) and len(a) == len(b) and all(k in b and same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return a == b
