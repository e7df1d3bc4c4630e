//! Revisions: what changed since when.

use super::failure::Failure;
use super::rows::{count, stored, tenant, text, texts};
use crate::metadata::{Changes, Revision, Unreadable};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

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
    if since == revision && since != Revision::START {
        return Ok(Changes { revision, ..Changes::default() });
    }
    let tenants = texts(c, &["tenant_id"]);
    if since != Revision::START && since < revision {
        let changed = format!("SELECT subject, {tenants} FROM changes WHERE revision > $1 ORDER BY 1, 2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(changed)).bind(stored(since.0)).fetch_all(&mut *c).await?;
        let changes = sorted(&rows, Changes { revision, ..Changes::default() })?;
        // Which rows are nobody's, and still there, is known when all are looked at.
        if changes.unreadable.is_empty() {
            return Ok(changes);
        }
    }
    let present = format!(
        "SELECT 'budgets' AS subject, {tenants} FROM tenant_budgets \
         UNION SELECT 'rules' AS subject, {tenants} FROM alert_rules ORDER BY 1, 2"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(present)).fetch_all(c).await?;
    sorted(&rows, Changes { revision, all: true, ..Changes::default() })
}

/// `changes` with what `rows` name.
fn sorted(rows: &[AnyRow], mut changes: Changes) -> Result<Changes, Failure> {
    for row in rows {
        let subject = text(row, "subject")?;
        let list = match subject.as_str() {
            "budgets" => &mut changes.budgets,
            "rules" => &mut changes.rules,
            // A newer server keeps more than this one asks for.
            _ => continue,
        };
        match tenant(row) {
            Ok(tenant) => list.push(tenant),
            Err(failure) => {
                let id = text(row, "tenant_id").unwrap_or_default();
                let what = format!("what {subject} say of a tenant {id:?}");
                changes.unreadable.push(Unreadable { what, reason: failure.reason() });
            }
        }
    }
    Ok(changes)
}
