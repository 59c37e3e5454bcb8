-- The LLM Council system in PostgreSQL. `switchback run` creates what is missing and alters nothing that exists; the
-- file also runs alone: psql -f schema.sql.
--
-- Dates have no zone, as the application's own datetime.utcnow() has none: they are UTC. The stages of an answer are
-- JSON rather than JSONB: the application reads them whole.

CREATE TABLE users (
    user_id        VARCHAR(255) PRIMARY KEY,
    email          VARCHAR(255),
    gender         VARCHAR(50),
    age_range      VARCHAR(50),
    mood           VARCHAR(100),
    profile_locked BOOLEAN NOT NULL DEFAULT false,
    created_at     TIMESTAMP
);

-- The reference to users is the plan. A payment may arrive before there is a profile, and people talk without one, so
-- switchback.toml says orphans = "leave" for this table and the next, and the bridge does not make these two keys.
CREATE TABLE subscriptions (
    user_id                VARCHAR(255) PRIMARY KEY REFERENCES users (user_id),
    tier                   VARCHAR(50) NOT NULL,
    status                 VARCHAR(50) NOT NULL DEFAULT 'active',
    stripe_customer_id     VARCHAR(255),
    stripe_subscription_id VARCHAR(255),
    current_period_end     TIMESTAMP,
    created_at             TIMESTAMP NOT NULL,
    updated_at             TIMESTAMP,
    CONSTRAINT valid_tier CHECK (tier IN ('free', 'single_report', 'monthly', 'yearly'))
);

CREATE TABLE conversations (
    id                UUID PRIMARY KEY,
    user_id           VARCHAR(255) REFERENCES users (user_id),
    created_at        TIMESTAMP NOT NULL,
    title             VARCHAR(500),
    starred           BOOLEAN NOT NULL DEFAULT false,
    report_cycle      INTEGER NOT NULL DEFAULT 0,
    has_follow_up     BOOLEAN NOT NULL DEFAULT false,
    follow_up_answers TEXT,
    is_visible        BOOLEAN NOT NULL DEFAULT true,
    expires_at        TIMESTAMP
);

-- In the files a message has no id, only a place. Here the id is made up and `position` orders; gaps mean nothing.
CREATE TABLE messages (
    id              UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    conversation_id UUID NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    position        INTEGER NOT NULL,
    role            VARCHAR(50) NOT NULL,
    content         TEXT,
    stage1          JSON,
    stage2          JSON,
    stage3          JSON,
    metadata        JSON
);

CREATE INDEX idx_subscriptions_stripe ON subscriptions (stripe_subscription_id);
CREATE INDEX idx_conversations_user_created ON conversations (user_id, created_at);
CREATE INDEX idx_conversations_expires ON conversations (expires_at);
CREATE INDEX idx_messages_conversation ON messages (conversation_id, position);
