#!/usr/bin/python3
"""What the LLM Council's data must look like on both sides, written down by hand. The comparison itself is
configs/common/checker_frame.py.

A message's id exists in PostgreSQL only, so the two sides are compared by conversation and rank: the first message of
a conversation is the first of its list, whatever `position` says.
"""
import functools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from checker_files import FilesOld, untouched_files  # noqa: E402  (the shared folder is found beside this one)
from checker_frame import columns, main  # noqa: E402

TABLES = {
    "users": columns(user_id="text", email="text", gender="text", age_range="text", mood="text", profile_locked="bool",
                     created_at="time"),
    "subscriptions": columns(user_id="text", tier="text", status="text", stripe_customer_id="text",
                             stripe_subscription_id="text", current_period_end="time", created_at="time",
                             updated_at="time"),
    "conversations": columns(id="uuid", user_id="text", created_at="time", title="text", starred="bool",
                             report_cycle="int", has_follow_up="bool", follow_up_answers="text", is_visible="bool",
                             expires_at="time"),
    "messages": columns(place="text", role="text", content="text", stage1="json", stage2="json", stage3="json",
                        metadata="json"),
}
VIEWS = {"messages": "SELECT m.*, conversation_id || '/' || lpad((row_number() OVER (PARTITION BY conversation_id "
                     "ORDER BY position, id) - 1)::text, 5, '0') AS place FROM messages AS m"}


def profile(name, document):
    """Two shapes: what the person said in an object of its own, or not."""
    said = document.get("profile") if isinstance(document.get("profile"), dict) else document
    yield "users", {"user_id": checked(name, document["user_id"]), "email": document.get("email"),
                    "gender": said.get("gender"), "age_range": said.get("age_range"), "mood": said.get("mood"),
                    "profile_locked": document.get("profile_locked", False), "created_at": document.get("created_at")}


def subscription(name, document):
    """Every member is optional but who and when."""
    yield "subscriptions", {"user_id": checked(name, document["user_id"]), "created_at": document["created_at"],
                            "tier": document["tier"], "status": document["status"],
                            **{member: document.get(member) for member in (
                                "stripe_customer_id", "stripe_subscription_id", "current_period_end", "updated_at")}}


def conversation(name, document):
    """Older files have fewer members."""
    yield "conversations", {"id": checked(name, document["id"]), "user_id": document["user_id"],
                            "created_at": document["created_at"], "title": document["title"],
                            "starred": document.get("starred", False), "report_cycle": document.get("report_cycle", 0),
                            "has_follow_up": document.get("has_follow_up", False),
                            "follow_up_answers": document.get("follow_up_answers"),
                            "is_visible": document.get("is_visible", True), "expires_at": document.get("expires_at")}
    for place, message in enumerate(document["messages"]):
        yield "messages", {"place": f"{name}/{place:05d}", "role": message["role"],
                           **{member: message.get(member) for member in (
                               "content", "stage1", "stage2", "stage3", "metadata")}}


def checked(name, key):
    """A file is named by its key."""
    if name != key:
        sys.exit(f"{name}.json holds {key}")
    return key


KINDS = {"profiles/*.json": profile, "subscriptions/*.json": subscription, "data/subscriptions/*.json": subscription,
         "conversations/*.json": conversation}


if __name__ == "__main__":
    main(TABLES, functools.partial(FilesOld, kinds=KINDS), [untouched_files], VIEWS)
