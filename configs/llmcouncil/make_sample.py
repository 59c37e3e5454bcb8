#!/usr/bin/python3
"""Make a folder of JSON files as the LLM Council's application would have left it, of any size.

The demo, the tests and the benchmark need data that is awkward in the ways the real store is: messages without an id,
dates without a zone whose fraction is sometimes missing, older files with fewer members, two shapes of profiles in
one folder, subscriptions in a folder that only exists because of a mistake, people who have no profile. The same
arguments always give the same bytes. Everybody in here is invented.
"""
import os
import sys
import uuid
from datetime import datetime, timedelta

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from sample import FIRST, LAST, PHRASES, files_main, python_json  # noqa: E402

BEGIN = datetime(2025, 3, 1, 8, 30)
MODELS = ["openai/gpt-5.1", "google/gemini-3-pro-preview", "anthropic/claude-sonnet-4.5", "x-ai/grok-4"]
TIERS = ["free", "free", "single_report", "monthly", "yearly"]


def moment(rng, n):
    """As datetime.utcnow().isoformat(): the fraction is missing when it is zero."""
    return (BEGIN + timedelta(seconds=n * 613, microseconds=rng.choice([0, rng.randrange(1_000_000)]))).isoformat()


def make_users(rng, count):
    """Ids of the login provider."""
    return [f"user_{rng.getrandbits(120):030x}" for _ in range(count)]


def make_profile(rng, n, user):
    """Every seventh is of the second writer's flat shape, and has no e-mail address."""
    said = {"gender": rng.choice(["female", "male", "non-binary", ""]), "age_range": rng.choice(["18-24", "25-34", "65+"]),
            "mood": rng.choice(PHRASES) if n % 11 else None}
    if n % 7 == 3:
        return {"user_id": user, **said, "created_at": moment(rng, n)}
    return {"user_id": user, "email": f"{rng.choice(FIRST)}.{rng.choice(LAST)}{n}@mail.example", "profile": said,
            "created_at": moment(rng, n), "profile_locked": n % 3 == 0}


def make_subscription(rng, n, user):
    """The customer's number is appended with the first payment."""
    tier = rng.choice(TIERS)
    paid = tier != "free"
    made = {"user_id": user, "tier": tier, "status": rng.choice(["active", "active", "cancelled"]),
            "stripe_subscription_id": f"sub_{rng.getrandbits(60):x}" if paid else None,
            "current_period_end": moment(rng, n + 4000) if paid else None,
            "created_at": moment(rng, n), "updated_at": moment(rng, n + 100)}
    if paid and n % 2:
        made["stripe_customer_id"] = f"cus_{rng.getrandbits(60):x}"
    return made


def make_answer(rng, n):
    """An assistant's message: three stages, a few kilobytes."""
    members = rng.sample(MODELS, 3)
    labels = ["Response A", "Response B", "Response C"]
    said = [{"model": model, "response": "\n\n".join(rng.choice(PHRASES) for _ in range(rng.randrange(2, 30)))}
            for model in members]
    ranked = [{"model": model, "ranking": "FINAL RANKING:\n" + "\n".join(f"{i + 1}. {x}" for i, x in enumerate(labels)),
               "parsed_ranking": rng.sample(labels, rng.randrange(4))} for model in members]
    made = {"role": "assistant", "stage1": said, "stage2": ranked,
            "stage3": {"model": members[0], "response": f"{rng.choice(PHRASES)} \u2014 {n}"}}
    if n % 3 == 0:
        made["metadata"] = {"label_to_model": dict(zip(labels, members)),
                            "aggregate_rankings": [{"model": m, "average_rank": rng.randrange(100, 300) / 100,
                                                    "rankings_count": 3} for m in members]}
    return made


def make_messages(rng, n):
    """Turns; some conversations never began, one in fifty says the same twice."""
    messages = []
    for turn in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 6])):
        messages.append({"role": "user", "content": f"{rng.choice(PHRASES)} ({n}.{turn})" if n % 50 else "again"})
        if turn or n % 5:
            messages.append(make_answer(rng, n))
    return messages


def make_conversation(rng, n, count, users):
    """The first fifth was made before reports, the first half before they expired."""
    user = rng.choice(users) if n % 23 else f"user_gone{n % 7}"
    made = {"id": str(uuid.UUID(int=rng.getrandbits(128), version=4)), "user_id": user, "created_at": moment(rng, n),
            "title": rng.choice(PHRASES)[:40] if n % 6 else "New Conversation"}
    if n * 10 > count:
        made["starred"] = n % 9 == 0
    made["messages"] = make_messages(rng, n)
    if n * 5 > count:
        made["report_cycle"] = n % 4
        made["has_follow_up"] = n % 4 > 1
        made["follow_up_answers"] = f"1. {rng.choice(PHRASES)}\n2. no" if n % 4 > 1 else None
    if n * 2 > count:
        made["is_visible"] = n % 8 != 0
        made["expires_at"] = moment(rng, n + 1000) if n % 8 == 0 else None
    return made


def fill(folder, rng, count):
    """All files; random numbers are drawn in this fixed order."""
    for name in ("conversations", "profiles", "subscriptions", "data/subscriptions"):
        os.makedirs(os.path.join(folder, name))

    def save(name, key, document):
        python_json(os.path.join(folder, name, key + ".json"), document)
    users = make_users(rng, max(12, count // 6))
    for n, user in enumerate(users):
        if n % 10 != 9:
            save("profiles", user, make_profile(rng, n, user))
        if n % 3 != 2:
            save("data/subscriptions" if n % 20 == 4 else "subscriptions", user, make_subscription(rng, n, user))
    for n in range(count):
        made = make_conversation(rng, n, count, users)
        save("conversations", made["id"], made)


if __name__ == "__main__":
    files_main("LLM Council", fill, "conversations")
