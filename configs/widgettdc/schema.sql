-- The WidgeTDC system in PostgreSQL. `switchback run` creates what is missing and alters nothing that exists; the file
-- also runs alone: psql -f schema.sql.
--
-- The plan's names and types, where the application's data allows them. Where its own tables say more or something
-- else (a fact is a type and a payload, not subject, predicate and object), the data decides.

CREATE TABLE memory_entities (
    id          SERIAL PRIMARY KEY,
    org_id      VARCHAR(255) NOT NULL,
    user_id     VARCHAR(255),
    entity_type VARCHAR(100) NOT NULL,
    text        TEXT NOT NULL,                  -- content in SQLite
    importance  INTEGER NOT NULL DEFAULT 3,
    metadata    JSONB,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at  TIMESTAMPTZ                     -- rows that were never updated have none
);

-- target_id may name an entity that is gone: SQLite never had a foreign key there, so there is none here.
CREATE TABLE memory_relations (
    id            SERIAL PRIMARY KEY,
    org_id        VARCHAR(255) NOT NULL,
    source_id     INTEGER NOT NULL REFERENCES memory_entities (id) ON DELETE CASCADE,
    target_id     INTEGER NOT NULL,
    relation_type VARCHAR(100) NOT NULL,
    strength      NUMERIC(3, 2) NOT NULL DEFAULT 1.0,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT strength_is_a_share CHECK (strength BETWEEN 0 AND 1)
);

CREATE TABLE memory_tags (
    id        SERIAL PRIMARY KEY,
    entity_id INTEGER NOT NULL REFERENCES memory_entities (id) ON DELETE CASCADE,
    tag       VARCHAR(100) NOT NULL
);

CREATE TABLE raw_documents (
    id          SERIAL PRIMARY KEY,
    org_id      VARCHAR(255) NOT NULL,
    title       VARCHAR(500),                   -- only here: SQLite has no title
    content     TEXT NOT NULL,
    source_type VARCHAR(50) NOT NULL,
    source      VARCHAR(200),                   -- source_path in SQLite
    ingested_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP      -- created_at in SQLite
);

-- Some facts name a document that is gone, from the days when nothing checked. switchback.toml says orphans = "null":
-- such a doc_id arrives as NULL, which is what ON DELETE SET NULL would have made of it.
CREATE TABLE structured_facts (
    id           SERIAL PRIMARY KEY,
    org_id       VARCHAR(255) NOT NULL,
    doc_id       INTEGER REFERENCES raw_documents (id) ON DELETE SET NULL,
    fact_type    VARCHAR(200) NOT NULL,
    json_payload JSONB NOT NULL,
    occurred_at  TIMESTAMPTZ,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE decisions (
    id          SERIAL PRIMARY KEY,
    org_id      VARCHAR(255) NOT NULL,
    title       VARCHAR(500) NOT NULL,
    description TEXT,
    made_at     TIMESTAMPTZ NOT NULL
);

CREATE TABLE evolution_kpis (
    id             SERIAL PRIMARY KEY,
    decision_id    INTEGER NOT NULL REFERENCES decisions (id) ON DELETE CASCADE,
    kpi_name       VARCHAR(200) NOT NULL,
    expected_value NUMERIC(10, 2) NOT NULL,
    actual_value   NUMERIC(10, 2),
    kpi_delta      DOUBLE PRECISION,            -- computed: any double, which NUMERIC(10, 2) would round
    measured_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE pal_focus_windows (
    id         SERIAL PRIMARY KEY,
    user_id    VARCHAR(255) NOT NULL,
    org_id     VARCHAR(255) NOT NULL,
    weekday    SMALLINT NOT NULL,
    start_hour SMALLINT NOT NULL,
    end_hour   SMALLINT NOT NULL,
    start_time TIMESTAMPTZ,
    end_time   TIMESTAMPTZ,
    priority   VARCHAR(50) NOT NULL DEFAULT 'normal',
    updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT a_day_of_the_week CHECK (weekday BETWEEN 0 AND 6),
    CONSTRAINT hours_in_order CHECK (0 <= start_hour AND start_hour < end_hour AND end_hour <= 24)
);

CREATE TABLE pal_stress_levels (
    id          SERIAL PRIMARY KEY,
    user_id     VARCHAR(255) NOT NULL,
    level       SMALLINT NOT NULL,
    measured_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT level_is_one_to_ten CHECK (level BETWEEN 1 AND 10)
);

CREATE INDEX idx_memory_entities_org ON memory_entities (org_id);
CREATE INDEX idx_memory_entities_created ON memory_entities (created_at);
CREATE INDEX idx_memory_relations_source ON memory_relations (source_id);
CREATE INDEX idx_memory_relations_target ON memory_relations (target_id);
CREATE INDEX idx_memory_tags_entity ON memory_tags (entity_id);
CREATE INDEX idx_memory_tags_tag ON memory_tags (tag);
CREATE INDEX idx_raw_documents_org ON raw_documents (org_id);
CREATE INDEX idx_raw_documents_ingested ON raw_documents (ingested_at);
CREATE INDEX idx_structured_facts_org ON structured_facts (org_id);
CREATE INDEX idx_structured_facts_type ON structured_facts (fact_type);
CREATE INDEX idx_structured_facts_doc ON structured_facts (doc_id);
CREATE INDEX idx_evolution_kpis_decision ON evolution_kpis (decision_id);
CREATE INDEX idx_evolution_kpis_measured ON evolution_kpis (measured_at);
CREATE INDEX idx_decisions_org ON decisions (org_id);
CREATE INDEX idx_decisions_made ON decisions (made_at);
CREATE INDEX idx_pal_focus_windows_user ON pal_focus_windows (user_id);
CREATE INDEX idx_pal_focus_windows_start ON pal_focus_windows (start_time);
CREATE INDEX idx_pal_stress_levels_user ON pal_stress_levels (user_id);
CREATE INDEX idx_pal_stress_levels_measured ON pal_stress_levels (measured_at);
