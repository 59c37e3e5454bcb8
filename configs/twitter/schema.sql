-- The twitter system in PostgreSQL. `switchback run` creates what is missing and alters nothing that exists; the file
-- also runs alone: psql -f schema.sql.
--
-- Foreign keys stand only where the data can hold them. The columns funnel_progress.user_id,
-- funnel_completion.user_id and referral_codes.owner_user_id hold a username, not users.id, so they have none.

CREATE TABLE users (
    id                  VARCHAR(255) PRIMARY KEY,
    username            VARCHAR(255) UNIQUE NOT NULL,
    profile_data        JSONB,
    profile_picture_url TEXT,
    last_scraped        TIMESTAMPTZ,
    created_at          TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);

-- The reference to users is the plan. SQLite never enforced it and some tweets belong to users who are gone, so
-- switchback.toml says orphans = "leave" for this table and the bridge does not make (or drops) this foreign key.
CREATE TABLE tweets (
    id            VARCHAR(255) PRIMARY KEY,
    user_id       VARCHAR(255) NOT NULL REFERENCES users (id),
    text          TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    url           TEXT,
    is_reply      BOOLEAN,
    metadata      JSONB,
    created_in_db TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE personality_analysis (
    id                  VARCHAR(255) PRIMARY KEY,
    user_id             VARCHAR(255) NOT NULL REFERENCES users (id),
    traits              JSONB NOT NULL,
    interests           JSONB NOT NULL,
    communication_style JSONB NOT NULL,
    analyzed_at         TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE funnel_progress (
    user_id               VARCHAR(255) PRIMARY KEY,
    current_command_index INTEGER DEFAULT 0,
    completed_commands    JSONB DEFAULT '[]'::jsonb,
    command_responses     JSONB DEFAULT '{}'::jsonb,
    last_updated          TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE funnel_completion (
    user_id         VARCHAR(255) PRIMARY KEY,
    completed_at    TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP,
    completion_data JSONB DEFAULT '{}'::jsonb
);

CREATE TABLE referral_tracking (
    id               SERIAL PRIMARY KEY,
    referral_code    VARCHAR(255) NOT NULL,
    referrer_user_id VARCHAR(255) NOT NULL REFERENCES users (id),
    referred_user_id VARCHAR(255) NOT NULL REFERENCES users (id),
    used_at          TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (referred_user_id)
);

CREATE TABLE referral_codes (
    code          VARCHAR(255) PRIMARY KEY,
    owner_user_id VARCHAR(255) NOT NULL,
    usage_count   INTEGER DEFAULT 0,
    created_at    TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE referral_usage_log (
    id              SERIAL PRIMARY KEY,
    referral_code   VARCHAR(255) NOT NULL REFERENCES referral_codes (code),
    used_by_user_id VARCHAR(255) NOT NULL REFERENCES users (id),
    used_at         TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
);

-- These two exist only here; SQLite never had them.
CREATE TABLE analysis_queue (
    job_id           SERIAL PRIMARY KEY,
    user_id          VARCHAR(255) NOT NULL REFERENCES users (id),
    status           VARCHAR(50) NOT NULL DEFAULT 'pending',
    priority         INTEGER DEFAULT 0,
    total_chunks     INTEGER NOT NULL,
    processed_chunks INTEGER DEFAULT 0,
    created_at       TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP,
    started_at       TIMESTAMPTZ,
    completed_at     TIMESTAMPTZ,
    error            TEXT,
    CONSTRAINT valid_status CHECK (status IN ('pending', 'processing', 'completed', 'failed'))
);

CREATE TABLE analysis_chunks (
    chunk_id     SERIAL PRIMARY KEY,
    job_id       INTEGER REFERENCES analysis_queue (job_id),
    chunk_index  INTEGER NOT NULL,
    tweet_count  INTEGER NOT NULL,
    status       VARCHAR(50) NOT NULL DEFAULT 'pending',
    started_at   TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    result       JSONB,
    error        TEXT,
    CONSTRAINT valid_chunk_status CHECK (status IN ('pending', 'processing', 'completed', 'failed'))
);

CREATE INDEX idx_tweets_user_created ON tweets (user_id, created_at);
CREATE INDEX idx_tweets_created ON tweets (created_at);
CREATE INDEX idx_tweets_text ON tweets USING gin (to_tsvector('english', text));
CREATE INDEX idx_referral_tracking_code ON referral_tracking (referral_code);
CREATE INDEX idx_referral_tracking_referrer ON referral_tracking (referrer_user_id);
CREATE INDEX idx_referral_codes_owner ON referral_codes (owner_user_id);
CREATE INDEX idx_referral_usage_code ON referral_usage_log (referral_code);
CREATE INDEX idx_analysis_queue_status ON analysis_queue (status);
CREATE INDEX idx_analysis_queue_user ON analysis_queue (user_id);
CREATE INDEX idx_analysis_chunks_job_status ON analysis_chunks (job_id, status);
CREATE INDEX idx_analysis_queue_priority ON analysis_queue (priority DESC, created_at ASC);
