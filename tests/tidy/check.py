#!/usr/bin/python3
"""The rules of the house that a script can check: check.py [ROOT]. Prints path:line: rule: what, exits 1 if any.

test_tidy.py plants a violation of each rule and sees it found. Exceptions, each with its reason, are in allowed.py.
"""
import os
import sys

import rules_code
import rules_durable
import rules_shape
import source
from allowed import ALLOWED

RULES = {**rules_shape.RULES, **rules_code.RULES, **rules_durable.RULES}


class Tree:
    """All files, read once."""

    def __init__(self, root):
        self.sources = source.load(root)
        self.paths = {one.path: one for one in self.sources}


def check(root, allowed=None):
    """[(path, line, rule, what)] of every violation."""
    allowed = ALLOWED if allowed is None else allowed
    tree, found, used = Tree(root), [], set()
    for one in tree.sources:
        for rule, function in RULES.items():
            for line, what in function(one, tree):
                text = one.lines[line - 1]
                reason = next((key for key in allowed if key[:2] == (rule, one.path) and key[2] in text), None)
                if reason is None:
                    found.append((one.path, line, rule, what))
                used.add(reason)
    for rule, path, words in set(allowed) - used:
        found.append(("tests/tidy/allowed.py", 1, "allowed", f"nothing needs the exception {rule} {path} {words}"))
    return sorted(found)


def main():
    """For ctest."""
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", ".."))
    found = check(root)
    for path, line, rule, what in found:
        print(f"{path}:{line}: {rule}: {what}")
    print(f"{len(found)} violations of {len(RULES)} rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
