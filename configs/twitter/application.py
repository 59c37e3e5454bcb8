#!/usr/bin/python3
"""The twitter system's application: what it writes, and how it spells it in SQLite.

Deleting users and swapping unique values are left out; one such process writes at a time.
"""
import json
import os
import sys
import time
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from client import System, main  # noqa: E402  (the shared folder is found beside this one)
from client_postgres import PostgresStore  # noqa: E402
from client_sqlite import SqliteStore, add_options  # noqa: E402
from client_units import write  # noqa: E402

KEYS = {"users": "id", "tweets": "id", "personality_analysis": "id", "funnel_progress": "user_id",
        "funnel_completion": "user_id", "referral_codes": "code", "referral_usage_log": "id",
        "referral_tracking": "id"}
DEFAULTED = {"tweets": "created_in_db"}       # left to the database, which a REPLACE resets


class Work:
    """Makes units of work. Knows the keys that belong to this process; learns from outcomes."""

    def __init__(self, rng, found):
        self.rng = rng
        self.users, self.tweets = found["users"], found["tweets"]
        self.codes = [key for _, key, _ in found["counters"]]
        self.hot = found["funnel"][:5]
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

    def learn(self, op, writes, outcome, _made):
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


def spell(table, column, value):
    """Text for JSON and dates, 0/1 for booleans. A tweet's date has two spellings: the old code path is still there,
    so the second decides which one a row gets."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, datetime):
        return value
    if (table, column) != ("tweets", "created_at"):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return value.strftime("%Y-%m-%dT%H:%M:%S.000Z" if value.second % 3 == 0 else "%a %b %d %H:%M:%S +0000 %Y")


def find(fetch, rng):
    """Existing rows to work on, by the same statements on both sides; the tweets come from all over the table."""
    tweets = {}
    low, high = fetch("SELECT min(id), max(id) FROM tweets")[0]
    for _ in range(400 if low else 0):
        start = str(rng.randrange(int(low), int(high) + 1)).rjust(len(low), "0")
        tweets.update((row[0], None) for row in fetch("SELECT id FROM tweets WHERE id >= ? ORDER BY id LIMIT 1", start))
    return {"users": [row[0] for row in fetch("SELECT id FROM users ORDER BY id LIMIT 500")],
            "tweets": list(tweets),
            "counters": {("referral_codes", code, "usage_count"): count for code, count
                         in fetch("SELECT code, usage_count FROM referral_codes ORDER BY code LIMIT 8")},
            "funnel": [row[0] for row in fetch("SELECT user_id FROM funnel_progress ORDER BY user_id LIMIT 40")]}


if __name__ == "__main__":
    main(System("twitter", Work, find, lambda args: SqliteStore(args, KEYS, spell),
                lambda args: PostgresStore(args, KEYS, "twitter-application", DEFAULTED), add_options))
