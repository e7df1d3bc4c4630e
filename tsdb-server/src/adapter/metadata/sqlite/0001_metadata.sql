-- Times are milliseconds since 1970, UTC.

-- Every change of budgets and rules gets the next revision. Whoever changes metadata takes this row first, so
-- revisions become visible in their order.
CREATE TABLE change_counter (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
);
INSERT INTO change_counter (id, revision) VALUES (1, 0);

CREATE TABLE changes (
    subject TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (subject, tenant_id)
);
CREATE INDEX changes_by_revision ON changes (revision);

-- NULL stands for the limit of the server. What has no column of its own is in other_limits, a JSON object.
CREATE TABLE tenant_budgets (
    tenant_id TEXT PRIMARY KEY,
    max_active_series INTEGER CHECK (max_active_series >= 0),
    max_samples_per_second INTEGER CHECK (max_samples_per_second >= 0),
    allowed_custom_labels_count INTEGER CHECK (allowed_custom_labels_count >= 0),
    other_limits TEXT NOT NULL DEFAULT '{}',
    version INTEGER NOT NULL DEFAULT 1,
    updated_by TEXT NOT NULL DEFAULT '',
    updated_at INTEGER NOT NULL DEFAULT 0
);

-- declared_* is what people have said; metric_type, unit and description are what holds.
CREATE TABLE metric_definitions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    metric_name TEXT NOT NULL,
    metric_type TEXT NOT NULL DEFAULT 'UNKNOWN',
    description TEXT NOT NULL DEFAULT '',
    unit TEXT NOT NULL DEFAULT '',
    declared_type TEXT,
    declared_description TEXT,
    declared_unit TEXT,
    owner_service TEXT NOT NULL DEFAULT '',
    owner_team TEXT NOT NULL DEFAULT '',
    active_series_count INTEGER,
    version INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, metric_name)
);

CREATE TABLE alert_rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    group_name TEXT NOT NULL DEFAULT '',
    rule_name TEXT NOT NULL,
    promql_expression TEXT NOT NULL,
    duration_interval_sec INTEGER NOT NULL DEFAULT 15,
    for_duration_sec INTEGER NOT NULL DEFAULT 300,
    keep_firing_for_sec INTEGER NOT NULL DEFAULT 0,
    severity TEXT NOT NULL DEFAULT 'WARNING',
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    no_data_policy TEXT NOT NULL DEFAULT 'OK',
    error_policy TEXT NOT NULL DEFAULT 'KEEP_STATE',
    labels TEXT NOT NULL DEFAULT '{}',
    annotations TEXT NOT NULL DEFAULT '{}',
    version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX alert_rules_by_status ON alert_rules (tenant_id, status);

-- series is a JSON object of labels; its hash stands in the key because labels may be longer than a key can be.
CREATE TABLE alert_evaluation_states (
    rule_id INTEGER NOT NULL REFERENCES alert_rules (id) ON DELETE CASCADE,
    series_hash TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    series TEXT NOT NULL,
    current_state TEXT NOT NULL,
    first_triggered_at INTEGER,
    fired_at INTEGER,
    kept_since INTEGER,
    resolved_at INTEGER,
    last_evaluated_at INTEGER NOT NULL,
    last_evaluated_value REAL,
    last_error TEXT,
    PRIMARY KEY (rule_id, series_hash)
);
CREATE INDEX alert_evaluation_states_by_tenant ON alert_evaluation_states (tenant_id);

CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    before_value TEXT,
    after_value TEXT
);
CREATE INDEX audit_log_by_tenant ON audit_log (tenant_id, id);

-- Changes are noted here, and not by those who make them, so that what people change by hand is seen too.
CREATE TRIGGER tenant_budgets_insert AFTER INSERT ON tenant_budgets BEGIN
    UPDATE change_counter SET revision = revision + 1 WHERE id = 1;
    INSERT INTO changes (subject, tenant_id, revision)
    SELECT 'budgets', NEW.tenant_id, revision FROM change_counter WHERE id = 1
    ON CONFLICT (subject, tenant_id) DO UPDATE SET revision = excluded.revision;
END;
CREATE TRIGGER tenant_budgets_update AFTER UPDATE ON tenant_budgets BEGIN
    UPDATE change_counter SET revision = revision + 1 WHERE id = 1;
    INSERT INTO changes (subject, tenant_id, revision)
    SELECT 'budgets', NEW.tenant_id, revision FROM change_counter WHERE id = 1
    ON CONFLICT (subject, tenant_id) DO UPDATE SET revision = excluded.revision;
END;
CREATE TRIGGER tenant_budgets_delete AFTER DELETE ON tenant_budgets BEGIN
    UPDATE change_counter SET revision = revision + 1 WHERE id = 1;
    INSERT INTO changes (subject, tenant_id, revision)
    SELECT 'budgets', OLD.tenant_id, revision FROM change_counter WHERE id = 1
    ON CONFLICT (subject, tenant_id) DO UPDATE SET revision = excluded.revision;
END;
CREATE TRIGGER alert_rules_insert AFTER INSERT ON alert_rules BEGIN
    UPDATE change_counter SET revision = revision + 1 WHERE id = 1;
    INSERT INTO changes (subject, tenant_id, revision)
    SELECT 'rules', NEW.tenant_id, revision FROM change_counter WHERE id = 1
    ON CONFLICT (subject, tenant_id) DO UPDATE SET revision = excluded.revision;
END;
CREATE TRIGGER alert_rules_update AFTER UPDATE ON alert_rules BEGIN
    UPDATE change_counter SET revision = revision + 1 WHERE id = 1;
    INSERT INTO changes (subject, tenant_id, revision)
    SELECT 'rules', NEW.tenant_id, revision FROM change_counter WHERE id = 1
    ON CONFLICT (subject, tenant_id) DO UPDATE SET revision = excluded.revision;
END;
CREATE TRIGGER alert_rules_delete AFTER DELETE ON alert_rules BEGIN
    UPDATE change_counter SET revision = revision + 1 WHERE id = 1;
    INSERT INTO changes (subject, tenant_id, revision)
    SELECT 'rules', OLD.tenant_id, revision FROM change_counter WHERE id = 1
    ON CONFLICT (subject, tenant_id) DO UPDATE SET revision = excluded.revision;
END;
