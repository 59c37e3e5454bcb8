"""Makes a failing history shorter while it still fails in the same way: leaves out runs of steps, then lines of steps,
within a time limit."""
import copy
import json
import os
import time

from play import Player, play

LIMIT_S = float(os.environ.get("SWITCHBACK_SHRINK_SECONDS", "90"))


def shrink(cluster, script, kind, play_one=play):
    """The shortest script found; None if it does not fail again."""
    end = time.monotonic() + LIMIT_S

    def fails(steps):
        if time.monotonic() > end:
            return False
        failed = play_one(cluster, {**script, "steps": steps})
        return failed is not None and failed.kind == kind

    if not fails(script["steps"]):
        return None
    Player.grace = 0.7
    steps = _fewer(copy.deepcopy(script["steps"]), fails, end)
    for at, step in enumerate(steps):
        if step[0] in ("sqlite", "postgres", "files") and len(step[-1]) > 1:
            def fails_with(lines, at=at, step=step):
                return fails(steps[:at] + [step[:-1] + [lines]] + steps[at + 1:])
            steps[at] = step[:-1] + [_fewer(step[-1], fails_with, end)]
    steps = _fewer(steps, fails, end)
    Player.grace = 3.0
    return {**script, "steps": steps}


def _fewer(items, fails, end):
    """Leaves out halves, quarters, … single items while what is left still fails."""
    size = max(1, len(items) // 2)
    while True:
        at, left_out = 0, False
        while at < len(items) and time.monotonic() < end:
            shorter = items[:at] + items[at + size:]
            if shorter != items and fails(shorter):
                items, left_out = shorter, True
            else:
                at += size
        if size == 1 and not left_out or time.monotonic() >= end:
            return items
        size = max(1, size // 2)


def text(script):
    """A script as tests/histories/found keeps it: one line for each thing it says."""
    parts = []
    for name, value in script.items():
        if isinstance(value, list) and name != "key":
            lines = ",\n  ".join(json.dumps(item, ensure_ascii=False) for item in value)
            parts.append(f" {json.dumps(name)}: [\n  {lines}]")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}"
