#!/usr/bin/python3
"""Make a SQLite database as the twitter system's application would have left it, of any size.

The demo, the tests and the benchmark need data that is awkward in the ways the real store is: two spellings of dates,
0/1 for booleans, JSON kept as text, two styles of user ids, tweets whose user is gone, text that breaks naive quoting.
The same arguments always give the same rows. Everybody in here is invented.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from sample import FIRST, LAST, PHRASES, START, insert, iso_ms_z, main, sqlite_date, text_json  # noqa: E402

SCHEMA = """
CREATE TABLE users (
    id TEXT PRIMARY KEY, username TEXT UNIQUE NOT NULL, profile_data JSON, profile_picture_url TEXT,
    last_scraped DATETIME, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE tweets (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, text TEXT NOT NULL, created_at DATETIME NOT NULL, url TEXT,
    is_reply BOOLEAN, metadata JSON, created_in_db DATETIME DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (user_id) REFERENCES users(id));
CREATE TABLE personality_analysis (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, traits JSON NOT NULL, interests JSON NOT NULL,
    communication_style JSON NOT NULL, analyzed_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (user_id) REFERENCES users(id));
CREATE TABLE funnel_progress (
    user_id TEXT PRIMARY KEY, current_command_index INTEGER DEFAULT 0, completed_commands JSON DEFAULT '[]',
    command_responses JSON DEFAULT '{}', last_updated DATETIME DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (user_id) REFERENCES users(id));
CREATE TABLE funnel_completion (
    user_id TEXT PRIMARY KEY, completed_at DATETIME DEFAULT CURRENT_TIMESTAMP, completion_data JSON DEFAULT '{}',
    FOREIGN KEY (user_id) REFERENCES users(id));
CREATE TABLE referral_tracking (
    id INTEGER PRIMARY KEY AUTOINCREMENT, referral_code TEXT NOT NULL, referrer_user_id TEXT NOT NULL,
    referred_user_id TEXT NOT NULL, used_at DATETIME DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (referrer_user_id) REFERENCES users(id), FOREIGN KEY (referred_user_id) REFERENCES users(id),
    UNIQUE(referred_user_id));
CREATE TABLE referral_codes (
    code TEXT PRIMARY KEY, owner_user_id TEXT NOT NULL, usage_count INTEGER DEFAULT 0,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (owner_user_id) REFERENCES users(id));
CREATE TABLE referral_usage_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, referral_code TEXT NOT NULL, used_by_user_id TEXT NOT NULL,
    used_at DATETIME DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (referral_code) REFERENCES referral_codes(code),
    FOREIGN KEY (used_by_user_id) REFERENCES users(id));
"""

FIRST_TWEET = 1_724_000_000_000_000_000
ORPHANS = 0.015                # tweets whose user_id names nobody
COMMANDS = ["start", "connect", "analyze", "traits", "interests", "share", "invite", "finish"]


def tweet_date(second, millis, old_style):
    """Old rows have ISO with milliseconds, newer ones the spelling of the old Twitter API, which has none."""
    if old_style:
        return iso_ms_z(second, millis)
    return time.strftime("%a %b %d %H:%M:%S +0000 %Y", time.gmtime(second))


def base36(number):
    """The tail of a new-style user id."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits or "0"


def make_users(rng, count):
    """Rows of users; every third has the old kind of id, which is the name itself."""
    rows = []
    for n in range(count):
        first, last = rng.choice(FIRST), rng.choice(LAST)
        username = f"{first}_{last}{n}"
        second = START + n * 7
        key = username if n % 3 == 0 else f"user_{second * 1000 + rng.randrange(1000)}_{base36(n + rng.getrandbits(40) * count)}"
        profile = {"name": f"{first} {last}".title(), "bio": rng.choice(PHRASES) if n % 4 else None,
                   "followersCount": rng.randrange(90000) if n % 2 else None,
                   "followingCount": rng.randrange(900) if n % 2 else None, "imageUrl": None}
        rows.append((key, username, text_json(profile) if n % 11 else None,
                     f"https://img.example/{n}.jpg" if n % 3 else None,
                     sqlite_date(second + 86400) if n % 5 else None, sqlite_date(second)))
    return rows


def make_metadata(rng, n):
    """Ready JSON text, because a million calls of json.dumps would be most of the running time."""
    draw = rng.random()
    if draw < 0.04:
        return None
    images = f'"https://img.example/m/{n}.png"' if draw < 0.3 else ""
    reply = f',"replyTo":{{"id":"{FIRST_TWEET + n}","user":{{"handle":"ada_alder0","verified":false}}}}' if draw > 0.8 else ""
    score = f',"score":{draw:.3f}' if draw > 0.5 else ""
    return (f'{{"metrics":{{"likes":{int(draw * 5000)},"retweets":{int(draw * 300)},"views":{int(draw * 90000)}}},'
            f'"images":[{images}],"lang":"en","source":"web"{score}{reply}}}')


def make_tweets(rng, count, user_ids):
    """Yield rows one by one, so that memory does not grow with the number of tweets."""
    pool = [" ".join(rng.choice(PHRASES) for _ in range(3)) for _ in range(4000)]
    switch = count * 6 // 10
    for n in range(count):
        draw = rng.random()
        second = START + 4_000_000 + n * 17
        orphan = draw < ORPHANS or n == 0
        user = f"gone_{n % 97}" if orphan else user_ids[int(rng.random() * len(user_ids))]
        tweet = str(FIRST_TWEET + n * 7919 + int(draw * 7000))
        yield (tweet, user, f"{pool[int(draw * 1e6) % 4000]} #{n}",
               tweet_date(second, int(draw * 1000), n < switch),
               None if draw > 0.9 else f"https://x.example/{user}/status/{tweet}",
               None if draw > 0.95 else int(draw > 0.7), make_metadata(rng, n), sqlite_date(second + 3600))


def make_analyses(rng, user_ids):
    """About one analysis for every fourth user; the numbers have more than one spelling on purpose."""
    rows = []
    for n, user in enumerate(user_ids[::4]):
        traits = f'[{{"name":"openness","score":{rng.randrange(1, 10)}.50}},{{"name":"calm","score":{rng.randrange(1, 9)}e0}}]'
        style = {"formality": rng.choice(["low", "high"]), "emoji": n % 2 == 0, "patterns": {"tone": None, "words": []}}
        rows.append((f"analysis_{n}", user, traits, text_json(rng.sample(LAST, 3)), text_json(style),
                     sqlite_date(START + 5_000_000 + n)))
    return rows


def make_funnel(rng, usernames):
    """Progress and completion rows; their user_id is a username, as in the real store."""
    progress, completion = [], []
    for n, name in enumerate(usernames[::2]):
        done = COMMANDS[:rng.randrange(len(COMMANDS) + 1)]
        responses = {c: rng.choice(PHRASES) for c in done[:3]}
        when = sqlite_date(START + 6_000_000 + n)
        progress.append((name, len(done), text_json(done), text_json(responses), when))
        if len(done) == len(COMMANDS):
            completion.append((name, when, text_json({"via": "web", "steps": len(done)}) if n % 3 else None))
    return progress, completion


def make_referrals(rng, users):
    """Codes owned by usernames, and uses of them by user ids; usage_count agrees with the log."""
    owners = users[:max(10, len(users) // 20)]
    codes = [f"REF-{n:05d}" for n in range(len(owners))]
    log, tracking, used = [], [], dict.fromkeys(codes, 0)
    for n, user in enumerate(users[len(owners)::3]):
        pick = rng.randrange(len(codes))
        when = sqlite_date(START + 7_000_000 + n)
        log.append((codes[pick], user[0], when))
        used[codes[pick]] += 1
        if n % 2 == 0:
            tracking.append((codes[pick], owners[pick][0], user[0], when))
    rows = [(c, o[1], used[c], sqlite_date(START + 100 + n)) for n, (c, o) in enumerate(zip(codes, owners))]
    return rows, log, tracking


def fill(db, rng, tweets):
    """All tables in one transaction; random numbers are drawn in this fixed order."""
    users = make_users(rng, max(60, tweets // 200))
    ids, names = [u[0] for u in users], [u[1] for u in users]
    progress, completion = make_funnel(rng, names)
    codes, log, tracking = make_referrals(rng, users)
    insert(db, "users", "id,username,profile_data,profile_picture_url,last_scraped,created_at", users)
    insert(db, "personality_analysis", "id,user_id,traits,interests,communication_style,analyzed_at",
           make_analyses(rng, ids))
    insert(db, "funnel_progress", "user_id,current_command_index,completed_commands,command_responses,last_updated",
           progress)
    insert(db, "funnel_completion", "user_id,completed_at,completion_data", completion)
    insert(db, "referral_codes", "code,owner_user_id,usage_count,created_at", codes)
    insert(db, "referral_usage_log", "referral_code,used_by_user_id,used_at", log)
    insert(db, "referral_tracking", "referral_code,referrer_user_id,referred_user_id,used_at", tracking)
    insert(db, "tweets", "id,user_id,text,created_at,url,is_reply,metadata,created_in_db",
           make_tweets(rng, tweets, ids))


if __name__ == "__main__":
    main("twitter", SCHEMA, fill, "delete", "tweets")
