#!/usr/bin/python3
"""The twitter system's application, reduced to the part a bridge can hurt: its writes.

One process, both adapters: it writes to whichever side is primary, says in a journal what it was about to do and what
it knows became of it, and when a write is refused runs the whole unit of work again on the side that took over.
Deleting users and swapping unique values are left out; one such process writes at a time.

The journal is JSON lines. A unit of work has a number `seq`, found again in the values it writes:
  {"seq", "op", "state": "intent", "writes": [W, ...], "t_ns", "wall"}        written before the first attempt
  {"seq", "state": "ack" | "failed" | "unknown", "side", "made": {I: id}, "t_ns", "wall"}     at most one per unit
  {"seq", "state": "error", "side", "kind", "message", ...}                   an attempt that came to nothing
  {"state": "start" | "base" | "switch" | "stop", ...}                        base: a counter as found at the start
W is {"do": "put", "table", "key", "values"} (every column not in values gets its default), "update" (only these columns),
"delete", "add" (read-modify-write: "column", "delta") or "append" (the database makes the key; `made` has it, by the
write's index). Intents reach the file before the attempt; outcomes are written and fsynced by a thread of their own,
so an ack in the file is on the disk, and an intent without outcome is a unit whose fate nobody was told.
"""
import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import time
from datetime import datetime, timezone

import psycopg2

from application_parts import Journal, Primary, Report
from application_stores import Lost, PostgresStore, Refused, Retry, SqliteStore

RETRY_LIMIT_S = 20.0
POLL_S = 0.001
CONNECT_AGAIN_S = 0.020     # a server that is down is not asked a thousand times a second
REFUSED_AGAIN_S = 0.010     # `primary` is a hint: look at the fence again even if the hint has not changed


def write(do, table, key, **more):
    """One write of a unit, in the journal's own form."""
    return {"do": do, "table": table, "key": key, **more}


class Work:
    """Makes units of work. Knows the keys that belong to this process; learns from outcomes."""

    def __init__(self, rng, found):
        self.rng = rng
        self.users, self.tweets = found["users"], found["tweets"]
        self.codes, self.hot = found["codes"], found["funnel"][:5]
        self.funnel = found["funnel"][5:] or found["funnel"]
        self.born = int(time.time())
        units = [(34, self.tweet), (10, self.tweet_again), (6, self.tweet_edit), (7, self.tweet_delete),
                 (14, self.hot_row), (7, self.funnel_replace), (4, self.funnel_done), (9, self.scraped),
                 (10, self.referral_used), (3, self.signup)]
        if self.users:
            units.append((4, self.analysis))
        self.weights, self.makers = zip(*units)

    def next(self, seq):
        """(op, writes) of the next unit. Values are Python's own types; the stores spell them."""
        maker = self.rng.choices(self.makers, self.weights)[0]
        return maker.__name__, maker(seq, datetime.now(timezone.utc).replace(microsecond=0))

    def learn(self, op, writes, outcome):
        """Own what certainly exists; after an unknown outcome leave the key alone for ever."""
        for item in writes:
            if item["table"] != "tweets":
                continue
            if op == "tweet" and outcome == "ack":
                self.tweets.append(item["key"])
            elif op == "tweet_delete" and outcome == "failed":
                self.tweets.append(item["key"])
            elif outcome == "unknown" and item["key"] in self.tweets:
                self.tweets.remove(item["key"])
        if len(self.tweets) > 5000:
            del self.tweets[:1000]

    def _tweet_values(self, seq, now):
        likes = self.rng.randrange(9000)
        return {"user_id": self.rng.choice(self.users), "created_at": now,
                "text": f"seq {seq}: it's \"live\" 🚀\n\tC:\\new {likes}",
                "url": f"https://x.example/status/{seq}" if seq % 5 else None,
                "is_reply": (True, False, None)[seq % 3],
                "metadata": {"metrics": {"likes": likes, "retweets": seq % 7, "views": likes * 9},
                             "images": [], "seq": seq, "ratio": likes / 8}}

    def tweet(self, seq, now):
        """One to three new tweets; created_in_db is left to the database."""
        count = self.rng.choice((1, 1, 1, 2, 3))
        return [write("put", "tweets", f"{self.born:010d}{seq:07d}{n:02d}", values=self._tweet_values(seq, now))
                for n in range(count)]

    def tweet_again(self, seq, now):
        """The application scrapes a tweet a second time and replaces the whole row."""
        if not self.tweets:
            return self.tweet(seq, now)
        return [write("put", "tweets", self.rng.choice(self.tweets), values=self._tweet_values(seq, now))]

    def tweet_edit(self, seq, now):
        """A narrow update: everything else in the row must stay as it was."""
        if not self.tweets:
            return self.hot_row(seq, now)
        return [write("update", "tweets", self.rng.choice(self.tweets),
                      values={"is_reply": seq % 2 == 0, "metadata": {"seq": seq, "edited": [now.year, None, True]}})]

    def tweet_delete(self, seq, now):
        """Deleted keys are given up here, so that nothing of ours ever brings one back."""
        if not self.tweets:
            return self.hot_row(seq, now)
        return [write("delete", "tweets", self.tweets.pop(self.rng.randrange(len(self.tweets))))]

    def hot_row(self, seq, now):
        """Many commits on very few rows."""
        if not self.hot:
            return self.funnel_done(seq, now)
        return [write("update", "funnel_progress", self.rng.choice(self.hot),
                      values={"current_command_index": seq, "command_responses": {"seq": seq}, "last_updated": now})]

    def funnel_replace(self, seq, now):
        """REPLACE of an existing row, or of one for a name that no user has."""
        key = self.rng.choice(self.funnel) if self.funnel and seq % 4 else f"visitor_{seq % 50}"
        return [write("put", "funnel_progress", key,
                      values={"current_command_index": seq, "completed_commands": ["start", f"step {seq}"],
                              "command_responses": {"seq": seq, "said": "ja, \"gern\""}, "last_updated": now})]

    def funnel_done(self, seq, now):
        """REPLACE in the other funnel table."""
        return [write("put", "funnel_completion", f"visitor_{seq % 80}",
                      values={"completed_at": now, "completion_data": {"seq": seq} if seq % 6 else None})]

    def scraped(self, seq, now):
        """A profile is read again; the user's other columns stay."""
        if not self.users:
            return self.hot_row(seq, now)
        profile = {"name": "Ada", "bio": f"seq {seq}", "followersCount": seq, "followingCount": None, "imageUrl": None}
        return [write("update", "users", self.rng.choice(self.users[:300]),
                      values={"profile_data": profile, "last_scraped": now})]

    def referral_used(self, seq, now):
        """Counter and log in one transaction: they must agree for ever."""
        if not self.codes or not self.users:
            return self.hot_row(seq, now)
        code = self.rng.choice(self.codes)
        return [write("add", "referral_codes", code, column="usage_count", delta=1),
                write("append", "referral_usage_log", None,
                      values={"referral_code": code, "used_by_user_id": self.rng.choice(self.users), "used_at": now})]

    def signup(self, seq, now):
        """A new user, by the new style of id, and the referral that brought them: parent and child together."""
        user = f"user_{self.born}{seq:07d}_{self.rng.getrandbits(40):x}"
        writes = [write("put", "users", user,
                        values={"username": f"new_{self.born}_{seq}", "profile_data": {"name": None, "seq": seq},
                                "profile_picture_url": None, "last_scraped": None, "created_at": now})]
        if self.codes and self.users:
            writes.append(write("append", "referral_tracking", None,
                                values={"referral_code": self.rng.choice(self.codes), "used_at": now,
                                        "referrer_user_id": self.rng.choice(self.users), "referred_user_id": user}))
        return writes

    def analysis(self, seq, now):
        """Three JSON columns that may not be null."""
        return [write("put", "personality_analysis", f"analysis_{self.born}_{seq}",
                      values={"user_id": self.rng.choice(self.users), "traits": [{"name": "calm", "score": seq / 4}],
                              "interests": ["sailing", f"seq {seq}"], "communication_style": {"tone": None, "seq": seq},
                              "analyzed_at": now})]


class Application:
    """Runs units of work on the primary side until told to stop."""

    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.primary = Primary(args.primary)
        self.journal = Journal(args.journal)
        self.report = Report()
        self.stores = {"old": SqliteStore(args.sqlite, args.busy_timeout_ms, args.synchronous),
                       "postgres": PostgresStore(args.postgres)}
        self.side = None
        self.stopping = False

    def run(self):
        """The whole life; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stopping", True))
        seq = self.journal.start()
        try:
            work = Work(self.rng, self._find_keys())
            self._loop(work, seq)
        finally:
            for store in self.stores.values():
                store.close()
            self.journal.note({"state": "stop"})
            acked = self.journal.close()
            self.report.write(self.args.report, acked)
        return 0

    def _find_keys(self):
        """Take keys of existing rows from the primary; retried, since a flip may be under way at the start."""
        deadline = time.monotonic() + RETRY_LIMIT_S
        while True:
            try:
                self.side = self.primary.read()
                found = self.stores[self.side].find_keys(self.rng)
                break
            except (sqlite3.Error, psycopg2.Error, Retry, Lost) as error:
                if self.stopping or time.monotonic() > deadline:
                    raise SystemExit(f"application.py: cannot read {self.side}: {error}") from error
                time.sleep(0.05)
        for code, count in found["codes"].items():
            self.journal.note({"state": "base", "table": "referral_codes", "key": code, "column": "usage_count",
                               "value": count})
        found["codes"] = list(found["codes"])
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
            work.learn(op, writes, self._perform(seq, writes))
            due = max(due + step, time.monotonic() - 0.25)
            delay = due - time.monotonic()
            if step and delay > 0:
                time.sleep(delay)

    def _perform(self, seq, writes):
        """One unit, until its outcome is known or cannot be; returns the outcome."""
        deadline = time.monotonic() + RETRY_LIMIT_S
        while True:
            self._follow(self.primary.changed())
            immediate = self.rng.random() < 0.9
            try:
                made = self.stores[self.side].run(writes, immediate)
            except (Refused, Retry) as error:
                self._error(seq, error.kind, error)
                if self.stopping or time.monotonic() > deadline:
                    return self._outcome(seq, "failed", {})
                self._wait(error)
            except Lost as error:       # the connection went away while COMMIT was under way
                self._error(seq, error.kind, error)
                return self._outcome(seq, "unknown", {})
            except (sqlite3.Error, psycopg2.Error) as error:
                self._error(seq, getattr(error, "pgcode", None) or type(error).__name__, error)
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

    def _error(self, seq, kind, error):
        self.report.error(self.side, kind)
        self.journal.note({"seq": seq, "state": "error", "side": self.side, "kind": kind,
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
        return state


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description="Write to the twitter system on whichever side is primary.",
                                     epilog="example: application.py --sqlite twitter.db --postgres "
                                            "postgresql:///app --primary switchback.run/primary --journal j.jsonl")
    parser.add_argument("--sqlite", required=True)
    parser.add_argument("--postgres", default="", help="libpq URL; empty: libpq's own variables")
    parser.add_argument("--primary", required=True, help="the run folder's file; missing means old")
    parser.add_argument("--journal", required=True, help="appended to")
    parser.add_argument("--rate", type=float, default=200, help="committed writes per second; 0: no limit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--busy-timeout-ms", type=int, default=5000)
    parser.add_argument("--synchronous", choices=["OFF", "NORMAL", "FULL", "EXTRA"], default="FULL")
    parser.add_argument("--report", help="JSON summary written at the end")
    return parser.parse_args()


if __name__ == "__main__":
    if not os.path.exists(arguments().sqlite):
        sys.exit("application.py: the SQLite database is not there; this program never makes one")
    sys.exit(Application(arguments()).run())
