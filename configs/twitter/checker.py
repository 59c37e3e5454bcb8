#!/usr/bin/python3
"""What the twitter system's data must look like on both sides, written down by hand. The comparison itself is
configs/common/checker_frame.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from checker_frame import columns, main  # noqa: E402  (the shared folder is found beside this one)
from checker_sqlite import SqliteOld  # noqa: E402

TABLES = {
    "users": columns(id="text", username="text", profile_data="json", profile_picture_url="text", last_scraped="time",
                     created_at="time"),
    "tweets": columns(id="text", user_id="text", text="text", created_at="time", url="text", is_reply="bool",
                      metadata="json", created_in_db="time"),
    "personality_analysis": columns(id="text", user_id="text", traits="json", interests="json",
                                    communication_style="json", analyzed_at="time"),
    "funnel_progress": columns(user_id="text", current_command_index="int", completed_commands="json",
                               command_responses="json", last_updated="time"),
    "funnel_completion": columns(user_id="text", completed_at="time", completion_data="json"),
    "referral_tracking": columns(id="int", referral_code="text", referrer_user_id="text", referred_user_id="text",
                                 used_at="time"),
    "referral_codes": columns(code="text", owner_user_id="text", usage_count="int", created_at="time"),
    "referral_usage_log": columns(id="int", referral_code="text", used_by_user_id="text", used_at="time"),
}


def log_agrees(checker):
    """The application counts and logs in one transaction, so both must say the same."""
    made = {key for key, row in checker.journal.rows.get("referral_usage_log", {}).items() if row.made}
    logged = {}
    for key, code, *_ in checker.old.rows("referral_usage_log"):
        if key in made:
            logged[code] = logged.get(code, 0) + 1
    for (table, key, column), counter in checker.journal.counters.items():
        count = logged.get(key, 0)
        if counter.found is not None and not counter.unknown and count != counter.found:
            word = "lost" if count < counter.found else "doubled"
            checker.problems.add(word, table, key, f"{column}:log", f"<counted {counter.found}>", f"<logged {count}>")


if __name__ == "__main__":
    main(TABLES, SqliteOld, [log_agrees])
