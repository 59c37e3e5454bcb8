#!/usr/bin/python3
"""The LLM Council's application: what it writes, and how it lays it out in JSON files.

Conversations only grow at their end, as in the real one, except that the last message may be taken back. One such
process writes at a time.
"""
import os
import sys
import time
import uuid
from datetime import datetime, timedelta

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from client import System, main  # noqa: E402  (the shared folder is found beside this one)
from client_files import Elements, FilesStore, Records, add_options  # noqa: E402
from client_postgres import PostgresStore  # noqa: E402
from client_units import write  # noqa: E402

KEYS = {"users": "user_id", "subscriptions": "user_id", "conversations": "id", "messages": "id"}
PLACES = {"messages": ("conversation_id", "position")}
SHOWN = {"users": ["user_id"], "subscriptions": ["user_id"], "conversations": ["id", "report_cycle", "created_at"],
         "messages": ["conversation_id"]}
MODELS = ["openai/gpt-5.1", "google/gemini-3-pro", "anthropic/claude-sonnet-4.5"]
MOST_KNOWN = 400


class Work:
    """Makes units of work. Knows its conversations with the number of their messages; learns from outcomes."""

    def __init__(self, rng, found):
        self.rng = rng
        self.talks, self.hot = found["talks"], [key for _, key, _ in found["counters"]]
        self.users, self.payers = found["users"], found["payers"]
        self.born = int(time.time())
        units = [(30, self.say), (24, self.answer), (12, self.talk), (5, self.take_back), (6, self.star),
                 (6, self.rename), (5, self.forget), (8, self.cycle), (5, self.follow_up), (4, self.expire),
                 (4, self.mood), (4, self.pay), (4, self.signup)]
        self.weights, self.makers = zip(*units)

    def next(self, seq):
        """(op, writes) of the next unit. Values are Python's own types; the stores spell them."""
        maker = self.rng.choices(self.makers, self.weights)[0]
        now = datetime.utcnow()
        return maker.__name__, maker(seq, now.replace(microsecond=0) if seq % 9 == 0 else now)

    def learn(self, op, writes, outcome, _made):
        """Own what certainly exists; after an unknown outcome leave the conversation alone for ever."""
        for item in writes:
            talk = item["key"].partition("/")[0]
            if outcome == "unknown":
                self.talks.pop(talk, None)
            elif outcome == "ack" and op == "talk":
                self.talks.setdefault(talk, 0)
            if outcome == "ack" and item["table"] == "messages" and talk in self.talks:
                self.talks[talk] += 1 if item["do"] == "put" else -1
        while len(self.talks) > MOST_KNOWN:
            del self.talks[self.rng.choice(list(self.talks))]

    def _talk(self):
        return self.rng.choice(list(self.talks)) if self.talks else None

    @staticmethod
    def _message(talk, place, **values):
        return write("put", "messages", f"{talk}/{place:05d}", values=values)

    def _user(self):
        return self.rng.choice(self.users) if self.users else None

    def talk(self, seq, now):
        """A new file; one in three has its first message from the start."""
        key = str(uuid.uuid4())     # not by the seed: two processes may have the same
        writes = [write("put", "conversations", key,
                        values={"user_id": self._user(), "created_at": now, "title": "New Conversation",
                                "starred": False, "report_cycle": 0, "has_follow_up": False,
                                "follow_up_answers": None, "is_visible": True, "expires_at": None})]
        if seq % 3 == 0:
            writes.append(self._message(key, 0, role="user", content=f"seq {seq}: first"))
        return writes

    def say(self, seq, now):
        """The file is read, grown by one message, and written."""
        key = self._talk()
        if key is None:
            return self.talk(seq, now)
        return [self._message(key, self.talks[key], role="user",
                              content=f"seq {seq}: it's \"live\" \u2014 \U0001f680\n\tC:\\new")]

    def answer(self, seq, now):
        """The council's three stages, some kilobytes; half of the time the title comes with them, in one unit."""
        key = self._talk()
        if key is None:
            return self.talk(seq, now)
        length = 400 if seq % 3 else 4000
        first = [{"model": model, "response": f"seq {seq} \u00e9 " * (length // 10)} for model in MODELS]
        second = [{"model": model, "ranking": f"1. Response A\n2. Response C ({seq})",
                   "parsed_ranking": ["Response A", "Response C", "Response B"]} for model in MODELS]
        values = {"role": "assistant", "stage1": first, "stage2": second,
                  "stage3": {"model": MODELS[0], "response": f"seq {seq}: in short, ja"}}
        if seq % 4 == 0:
            values["metadata"] = {"label_to_model": {"Response A": MODELS[0]}, "seq": seq, "cost": seq / 8, "none": None}
        writes = [self._message(key, self.talks[key], **values)]
        if seq % 2:
            writes.append(write("update", "conversations", key, values={"title": f"About {seq} \u2013 \u7b54"}))
        return writes

    def take_back(self, seq, now):
        """The last message goes."""
        key = next((k for k, count in self.talks.items() if count > 0 and self.rng.random() < 0.2), None)
        if key is None:
            return self.say(seq, now)
        return [write("delete", "messages", f"{key}/{self.talks[key] - 1:05d}")]

    def _edit(self, seq, now, **values):
        key = self._talk()
        return self.talk(seq, now) if key is None else [write("update", "conversations", key, values=values)]

    def star(self, seq, now):
        """One member; everything else in the file must stay as it was."""
        return self._edit(seq, now, starred=seq % 2 == 0)

    def rename(self, seq, now):
        """Many writes on few files."""
        if not self.hot:
            return self._edit(seq, now, title=f"seq {seq}")
        return [write("update", "conversations", self.rng.choice(self.hot), values={"title": f"hot {seq} \u2603"})]

    def cycle(self, seq, now):
        """Read-modify-write of a number, on the same few files."""
        if not self.hot:
            return self.star(seq, now)
        return [write("add", "conversations", self.rng.choice(self.hot), column="report_cycle", delta=1)]

    def follow_up(self, seq, now):
        """Answers arrive, or are taken away again."""
        answers = f"Q: {seq}?\nA: \"nein\"" if seq % 4 else None
        return self._edit(seq, now, has_follow_up=answers is not None, follow_up_answers=answers)

    def expire(self, seq, now):
        """A date where there was null, and back."""
        ends = now + timedelta(days=7) if seq % 3 else None
        return self._edit(seq, now, is_visible=ends is None, expires_at=ends)

    def forget(self, seq, now):
        """The file goes, and with it the messages: in PostgreSQL a foreign key takes them away."""
        key = self._talk()
        if key is None:
            return self.talk(seq, now)
        count = self.talks.pop(key)
        return [write("delete", "conversations", key),
                *(write("delete", "messages", f"{key}/{place:05d}", by="database") for place in range(count))]

    def signup(self, seq, now):
        """A profile and a subscription: two files."""
        user = f"user_{self.born}{seq:07d}{self.rng.getrandbits(40):010x}"
        return [write("put", "users", user,
                      values={"email": f"seq{seq}@mail.example", "gender": "x", "age_range": "25-34", "mood": f"m\u00fcd {seq}",
                              "created_at": now, "profile_locked": False}),
                write("put", "subscriptions", user,
                      values={"tier": "free", "status": "active", "stripe_subscription_id": None,
                              "current_period_end": None, "created_at": now, "updated_at": now})]

    def mood(self, seq, now):
        """A member of an object within, or of the file itself: each profile keeps its shape."""
        user = self._user()
        if user is None:
            return self.signup(seq, now)
        return [write("update", "users", user, values={"mood": f"seq {seq}", "profile_locked": seq % 2 == 0})]

    def pay(self, seq, now):
        """The payment provider calls: new members at the end of a file."""
        if not self.payers:
            return self.signup(seq, now)
        return [write("update", "subscriptions", self.rng.choice(self.payers),
                      values={"tier": ("monthly", "yearly", "single_report")[seq % 3], "status": "active",
                              "stripe_subscription_id": f"sub_{seq}", "current_period_end": now + timedelta(days=30),
                              "updated_at": now, "stripe_customer_id": f"cus_{seq}"})]


def new_profile(key, values):
    """What a person said of themselves is an object of its own."""
    said = {name: values[name] for name in ("gender", "age_range", "mood")}
    return {"user_id": key, "email": values["email"], "profile": said, "created_at": values["created_at"],
            "profile_locked": values["profile_locked"]}


def profile_spot(document, column):
    """A second writer lays the same out flat."""
    nested = column in ("gender", "age_range", "mood") and "profile" in document
    return (document["profile"] if nested else document), column


def new_conversation(key, values):
    """Members in the order in which the application makes them."""
    first = {name: values[name] for name in ("user_id", "created_at", "title", "starred")}
    later = {name: value for name, value in values.items() if name not in first}
    return {"id": key, **first, "messages": [], **later}


CONVERSATIONS = Records(["conversations"], new_conversation)
TABLES = {"users": Records(["profiles"], new_profile, profile_spot),
          "subscriptions": Records(["subscriptions", "data/subscriptions"],
                                   lambda key, values: {"user_id": key, **values}),
          "conversations": CONVERSATIONS, "messages": Elements(CONVERSATIONS, "messages")}


def find(fetch, rng):
    """Existing rows to work on, by the same statements on both sides."""
    cycles = fetch("SELECT id, report_cycle FROM conversations ORDER BY created_at, id")
    counts = dict(fetch("SELECT conversation_id, count(*) FROM messages GROUP BY conversation_id"))
    hot = cycles[:6]        # the oldest: none that an earlier run of this program made
    known = [row[0] for row in rng.sample(cycles[6:], min(200, len(cycles[6:])))]
    return {"talks": {key: counts.get(key, 0) for key in known},
            "counters": {("conversations", key, "report_cycle"): count or 0 for key, count in hot},
            "users": [row[0] for row in fetch("SELECT user_id FROM users ORDER BY user_id LIMIT 300")],
            "payers": [row[0] for row in fetch("SELECT user_id FROM subscriptions ORDER BY user_id LIMIT 300")]}


if __name__ == "__main__":
    main(System("LLM Council", Work, find, lambda args: FilesStore(args, TABLES, SHOWN),
                lambda args: PostgresStore(args, KEYS, "llmcouncil-application", places=PLACES), add_options))
