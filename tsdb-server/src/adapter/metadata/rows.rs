//! Values in rows: numbers, names and JSON as the tables hold them.

use super::failure::Failure;
use crate::metadata::MetadataError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use tsdb_core::TenantId;

/// `columns` of text in a list of what to select. SQLite takes any bytes for text, and the library fails all rows for one that
/// is no UTF-8: there they are read as bytes.
pub(super) fn texts(c: &AnyConnection, columns: &[&str]) -> String {
    let is_checked = c.backend_name() == "PostgreSQL";
    let read = |column: &&str| {
        if is_checked { (*column).to_owned() } else { format!("CAST({column} AS BLOB) AS {column}") }
    };
    columns.iter().map(read).collect::<Vec<_>>().join(", ")
}

pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, Failure> {
    match row.try_get::<Vec<u8>, _>(column) {
        Ok(bytes) => utf8(bytes),
        Err(_) => Ok(row.try_get(column)?),
    }
}

pub(super) fn optional_text(row: &AnyRow, column: &str) -> Result<Option<String>, Failure> {
    match row.try_get::<Option<Vec<u8>>, _>(column) {
        Ok(bytes) => bytes.map(utf8).transpose(),
        Err(_) => Ok(row.try_get(column)?),
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, Failure> {
    Ok(String::from_utf8(bytes).map_err(|error| MetadataError::damaged("a text", error))?)
}

pub(super) fn number(row: &AnyRow, column: &str) -> Result<i64, Failure> {
    Ok(row.try_get(column)?)
}

pub(super) fn optional_number(row: &AnyRow, column: &str) -> Result<Option<i64>, Failure> {
    Ok(row.try_get(column)?)
}

/// A number that is never negative. One that someone made so is none.
pub(super) fn count(row: &AnyRow, column: &str) -> Result<u64, Failure> {
    Ok(u64::try_from(number(row, column)?).unwrap_or(0))
}

/// A number as the tables hold it, the largest that they can for a larger one.
pub(super) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn tenant(row: &AnyRow) -> Result<TenantId, Failure> {
    let id = TenantId::new(&text(row, "tenant_id")?);
    Ok(id.map_err(|error| MetadataError::damaged("a tenant id", error))?)
}

/// The variant that `column` names.
pub(super) fn named<T>(
    row: &AnyRow,
    column: &'static str,
    from_name: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Failure> {
    let name = text(row, column)?;
    let unknown = || MetadataError::damaged(column, format!("{name:?} is unknown"));
    Ok(from_name(&name).ok_or_else(unknown)?)
}

pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, Failure> {
    Ok(serde_json::from_str(text).map_err(|error| MetadataError::damaged(what, error))?)
}

pub(super) fn to_json<T: Serialize + ?Sized>(what: &'static str, value: &T) -> Result<String, Failure> {
    Ok(serde_json::to_string(value).map_err(|error| MetadataError::damaged(what, error))?)
}

/// `rows` parenthesised lists of `columns` placeholders each: `($1,$2),($3,$4)`.
pub(super) fn placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::new();
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            let number = row.saturating_mul(columns).saturating_add(column).saturating_add(1);
            text.push_str(if column == 0 { "$" } else { ",$" });
            text.push_str(&number.to_string());
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::placeholders;

    #[test]
    fn placeholders_count_on_from_row_to_row() {
        assert_eq!(placeholders(2, 3), "($1,$2,$3),($4,$5,$6)");
    }
}
