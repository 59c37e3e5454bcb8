"""The frame of an application, reduced to the part a bridge can hurt: its writes.

One process, both adapters: it writes to whichever side is primary, says in a journal what it was about to do and what
it knows became of it, and when a write is refused runs the whole unit of work again on the side that took over. What
is written is each system's own: its folder's application.py makes the units of work and hands them to main() here.

The journal is JSON lines. A unit of work has a number `seq`, found again in the values it writes:
  {"seq", "op", "state": "intent", "writes": [W, ...], "t_ns", "wall"}        written before the first attempt
  {"seq", "state": "ack" | "failed" | "unknown", "side", "made": {I: id}, "t_ns", "wall"}     at most one per unit
  {"seq", "state": "error", "side", "kind", "message", ...}                   an attempt that came to nothing
  {"state": "start" | "base" | "switch" | "stop", ...}                        base: a counter as found at the start
W is {"do": "put", "table", "key", "values"} (every column not in values gets its default), "update" (only these columns),
"delete", "add" (read-modify-write: "column", "delta") or "append" (the database makes the key; `made` has it, by the
write's index, and {"$made": I} stands for it in the values of later writes). One that has "by" is what a foreign key's
action does. Intents reach the file before the attempt; outcomes are written and fsynced by a thread of their own, so
an ack in the file is on the disk, and an intent without outcome is a unit whose fate nobody was told.
"""
import argparse
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable

from client_parts import Journal, Primary, Report
from client_units import Broken, Lost, Refused, Retry

RETRY_LIMIT_S = 20.0
POLL_S = 0.001
CONNECT_AGAIN_S = 0.020     # a server that is down is not asked a thousand times a second
REFUSED_AGAIN_S = 0.010     # `primary` is a hint: look at the fence again even if the hint has not changed


@dataclass
class System:
    """What is a system's own. A store has look(), run(writes, immediate) and close(), and raises what client_units
    has; `find(fetch, rng)` gives what Work(rng, found) starts from, with found["counters"] the columns that are only
    ever added to, {(table, key, column): value}. Work has next(seq) and learn(op, writes, outcome, made)."""
    name: str
    work: Callable[..., Any]
    find: Callable[..., dict]
    old_store: Callable[..., Any]               # of the parsed arguments, as postgres_store
    postgres_store: Callable[..., Any]
    add_options: Callable[..., None] = lambda parser: None


class Application:
    """Runs units of work on the primary side until told to stop."""

    def __init__(self, system, args):
        self.system, self.args = system, args
        self.rng = random.Random(args.seed)
        self.primary = Primary(args.primary)
        self.journal = Journal(args.journal)
        self.report = Report()
        self.stores = {"old": system.old_store(args), "postgres": system.postgres_store(args)}
        self.side = None
        self.stopping = False

    def run(self):
        """The whole life; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stopping", True))
        seq = self.journal.start()
        try:
            work = self.system.work(self.rng, self._find())
            self._loop(work, seq)
        finally:
            for store in self.stores.values():
                store.close()
            self.journal.note({"state": "stop"})
            acked = self.journal.close()
            self.report.write(self.args.report, acked)
        return 0

    def _find(self):
        """Take keys of existing rows from the primary; retried, since a flip may be under way at the start."""
        deadline = time.monotonic() + RETRY_LIMIT_S
        while True:
            try:
                self.side = self.primary.read()
                found = self.stores[self.side].look(lambda fetch: self.system.find(fetch, self.rng))
                break
            except (Retry, Lost) as error:
                if self.stopping or time.monotonic() > deadline:
                    raise SystemExit(f"application.py: cannot read {self.side}: {error}") from error
                time.sleep(0.05)
        for (table, key, column), value in found["counters"].items():
            self.journal.note({"state": "base", "table": table, "key": key, "column": column, "value": value})
        return found

    def _loop(self, work, seq):
        """Paced by absolute times. A debt of more than a quarter second is forgiven, so that a pause is not
        followed by a burst that would hide how long it was."""
        step = 1.0 / self.args.rate if self.args.rate > 0 else 0.0
        due = time.monotonic()
        while not self.stopping:
            seq += 1
            op, writes = work.next(seq)
            self.journal.intent(seq, op, writes)
            work.learn(op, writes, *self._perform(seq, writes))
            due = max(due + step, time.monotonic() - 0.25)
            delay = due - time.monotonic()
            if step and delay > 0:
                time.sleep(delay)

    def _perform(self, seq, writes):
        """One unit, until its outcome is known or cannot be; returns the outcome and the keys made."""
        deadline = time.monotonic() + RETRY_LIMIT_S
        while True:
            self._follow(self.primary.changed())
            immediate = self.rng.random() < 0.9
            try:
                made = self.stores[self.side].run(writes, immediate)
            except (Refused, Retry) as error:
                self._error(seq, error)
                if self.stopping or time.monotonic() > deadline:
                    return self._outcome(seq, "failed", {})
                self._wait(error)
            except Lost as error:       # the connection went away while COMMIT was under way
                self._error(seq, error)
                return self._outcome(seq, "unknown", {})
            except Broken as error:
                self._error(seq, error)
                return self._outcome(seq, "failed", {})
            else:
                return self._outcome(seq, "ack", made)

    def _wait(self, error):
        """After a refusal: until `primary` says something new, or long enough to ask the fence again."""
        if not isinstance(error, Refused):
            time.sleep(CONNECT_AGAIN_S if error.kind == "connect" else POLL_S)
            return
        until = time.monotonic() + REFUSED_AGAIN_S
        side = self.primary.read()
        while side == self.side and time.monotonic() < until:
            time.sleep(POLL_S)
            side = self.primary.changed()
        self._follow(side)

    def _follow(self, side):
        if side != self.side:
            self.report.switched(self.side, side, time.monotonic_ns())
            self.journal.note({"state": "switch", "from": self.side, "to": side, "epoch": self.primary.epoch})
            self.side = side

    def _error(self, seq, error):
        self.report.error(self.side, error.kind)
        self.journal.note({"seq": seq, "state": "error", "side": self.side, "kind": error.kind,
                           "message": str(error).strip()[:300]})

    def _outcome(self, seq, state, made):
        now = time.monotonic_ns()
        if state == "ack":
            self.report.acked(now)
        elif state == "unknown":
            self.report.unknown += 1
        else:
            self.report.failed += 1
        self.journal.outcome({"seq": seq, "state": state, "side": self.side, "made": made, "t_ns": now})
        return state, made


def arguments(system):
    """The command line."""
    parser = argparse.ArgumentParser(description=f"Write to the {system.name} system on whichever side is primary.",
                                     epilog="example: application.py --old PATH --postgres postgresql:///app "
                                            "--primary switchback.run/primary --journal j.jsonl")
    parser.add_argument("--old", required=True, help="the old store")
    parser.add_argument("--postgres", default="", help="libpq URL; empty: libpq's own variables")
    parser.add_argument("--primary", required=True, help="the run folder's file; missing means old")
    parser.add_argument("--journal", required=True, help="appended to")
    parser.add_argument("--rate", type=float, default=200, help="committed writes per second; 0: no limit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", help="JSON summary written at the end")
    system.add_options(parser)
    return parser.parse_args()


def main(system):
    """What a system's application.py ends with."""
    args = arguments(system)
    if not os.path.exists(args.old):
        sys.exit("application.py: the old store is not there; this program never makes one")
    sys.exit(Application(system, args).run())
