//! Revisions: what changed since when.

use super::failure::Failure;
use super::rows::{count, stored, tenant, text};
use crate::metadata::{Changes, Revision};
use sqlx::AnyConnection;

/// Waits until no one else changes anything, and takes the next revision.
pub(super) async fn next(c: &mut AnyConnection) -> Result<u64, Failure> {
    let take = "UPDATE change_counter SET revision = revision + 1 WHERE id = 1 RETURNING revision";
    let row = sqlx::query(take).fetch_one(c).await?;
    count(&row, "revision")
}

/// What changed since `since`.
pub(super) async fn since(c: &mut AnyConnection, since: Revision) -> Result<Changes, Failure> {
    // The counter is read first: what changes in between is told now and once more the next time.
    let row = sqlx::query("SELECT revision FROM change_counter WHERE id = 1").fetch_one(&mut *c).await?;
    let revision = Revision(count(&row, "revision")?);
    let all = since == Revision::START || since > revision;
    let mut changes = Changes { revision, all, ..Changes::default() };
    let rows = if all {
        let present = "SELECT 'budgets' AS subject, tenant_id FROM tenant_budgets \
                       UNION SELECT 'rules' AS subject, tenant_id FROM alert_rules ORDER BY 1, 2";
        sqlx::query(present).fetch_all(c).await?
    } else if since == revision {
        return Ok(changes);
    } else {
        let changed = "SELECT subject, tenant_id FROM changes WHERE revision > $1 ORDER BY 1, 2";
        sqlx::query(changed).bind(stored(since.0)).fetch_all(c).await?
    };
    for row in rows {
        match text(&row, "subject")?.as_str() {
            "budgets" => changes.budgets.push(tenant(&row)?),
            "rules" => changes.rules.push(tenant(&row)?),
            // A newer server keeps more than this one asks for.
            _ => {}
        }
    }
    Ok(changes)
}
