#!/usr/bin/python3
"""What the WidgeTDC system's data must look like on both sides, written down by hand. The comparison itself is
configs/common/checker_frame.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from checker_frame import columns, main  # noqa: E402  (the shared folder is found beside this one)
from checker_sqlite import SqliteOld  # noqa: E402

# raw_documents.title is only in PostgreSQL. A decimal is REAL in SQLite.
TABLES = {
    "memory_entities": columns(id="int", org_id="text", user_id="text", entity_type="text", text="text content",
                               importance="int", metadata="json", created_at="time", updated_at="time"),
    "memory_relations": columns(id="int", org_id="text", source_id="int", target_id="int", relation_type="text",
                                strength="decimal", created_at="time"),
    "memory_tags": columns(id="int", entity_id="int", tag="text"),
    "raw_documents": columns(id="int", org_id="text", content="text", source_type="text", source="text source_path",
                             ingested_at="time created_at"),
    "structured_facts": columns(id="int", org_id="text", doc_id="int", fact_type="text", json_payload="json",
                                occurred_at="time", created_at="time"),
    "decisions": columns(id="int", org_id="text", title="text", description="text", made_at="time"),
    "evolution_kpis": columns(id="int", decision_id="int", kpi_name="text", expected_value="decimal",
                              actual_value="decimal", kpi_delta="real", measured_at="time"),
    "pal_focus_windows": columns(id="int", user_id="text", org_id="text", weekday="int", start_hour="int",
                                 end_hour="int", start_time="time", end_time="time", priority="text",
                                 updated_at="time"),
    "pal_stress_levels": columns(id="int", user_id="text", level="int", measured_at="time"),
}


class WidgetOld(SqliteOld):
    """doc_id of a document that is gone reads as NULL: PostgreSQL has a foreign key there."""

    def __init__(self, path, original, tables):
        super().__init__(path, original, tables)
        self.documents = {row[0] for row in self.db.execute("SELECT id FROM main.raw_documents")}

    def meaning(self, column, value):
        """Of a value as rows() gives it."""
        if column.name == "doc_id" and type(value) is int and value not in self.documents:
            return None
        return super().meaning(column, value)


def no_child_without_parent(checker):
    """Foreign keys that were on all the time."""
    for child, at, parent in (("memory_tags", 1, "memory_entities"), ("memory_relations", 2, "memory_entities"),
                              ("evolution_kpis", 1, "decisions")):
        parents = {row[0] for row in checker.old.rows(parent)}
        for row in checker.old.rows(child):
            if row[at] not in parents:
                checker.problems.add("resurrected", child, row[0], None, f"<its {parent} {row[at]} is gone>", "<there>")


if __name__ == "__main__":
    main(TABLES, WidgetOld, [no_child_without_parent])
