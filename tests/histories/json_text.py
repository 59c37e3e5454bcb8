"""JSON as an application reads and writes it, with every number kept as it is spelled, and in the styles that files are
found in: by indent, line ends, escapes, final newline. Shares nothing with the program."""
import json
import re


class Number(str):
    """A number's own spelling."""

    def __repr__(self):
        return f"Number({str(self)})"


STYLES = {
    "stringify": {"indent": "  "},
    "python": {"indent": "  ", "ascii": True, "end": "\n"},
    "spaced": {"ascii": True, "comma": ", ", "colon": ": "},
    "minified": {"comma": ",", "colon": ":"},
    "tabs": {"indent": "\t", "end": "\n"},
    "crlf": {"indent": "    ", "end": "\r\n", "line": "\r\n"},
}


class Repeated(ValueError):
    """An object has a member twice."""


def _object(pairs):
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Repeated("a member is there twice")
    return made


def _refuse(word):
    raise ValueError(f"{word} is no JSON")


def read(text):
    """The value of bytes; ValueError if they are no JSON."""
    return json.loads(text.decode("utf-8", "surrogatepass"), parse_int=Number, parse_float=Number, object_pairs_hook=_object,
                      parse_constant=_refuse)


def write(value, style):
    """The whole text of a file, as bytes."""
    how = STYLES[style]
    return _encoded(_text(value, how, how.get("line", "\n")) + how.get("end", ""))


def write_lines(values, style):
    """JSON Lines: each value on a line of its own."""
    how = {**STYLES[style], "indent": None}
    end = how.get("line", "\n").encode()
    return b"".join(_encoded(_text(value, how, "")) + end for value in values)


def _encoded(text):
    """Half of a pair has no bytes of its own: every writer escapes it."""
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text).encode()


def _scalar(value, how):
    if isinstance(value, Number):
        return str(value)
    return json.dumps(value, ensure_ascii=how.get("ascii", False))


def _text(value, how, line):
    """`line` is a line's end and the blanks before a value at this depth."""
    if not isinstance(value, (dict, list)):
        return _scalar(value, how)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if not value:
        return opening + closing
    inner = line + how["indent"] if how.get("indent") else ""
    comma = ("," + inner) if inner else how.get("comma", ",")
    colon = how.get("colon", ": ")
    if isinstance(value, dict):
        items = [_scalar(name, how) + colon + _text(held, how, inner) for name, held in value.items()]
    else:
        items = [_text(held, how, inner) for held in value]
    return opening + inner + comma.join(items) + (line if inner else "") + closing
