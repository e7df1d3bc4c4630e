//! The tables: made and brought up to date by numbered migrations, one set for each database.
//!
//! Migrations only ever add. A migration that was released is never changed; the database keeps its checksum.

use super::connections::Dialect;
use super::failure::Failure;
use crate::metadata::MetadataError;
use sqlx::AnyConnection;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlStr};

/// Number, name and text of each migration of SQLite.
const SQLITE: [(i64, &str, &str); 1] = [(1, "metadata", include_str!("sqlite/0001_metadata.sql"))];
/// Number, name and text of each migration of PostgreSQL.
#[cfg(feature = "postgres")]
const POSTGRES: [(i64, &str, &str); 1] = [(1, "metadata", include_str!("postgres/0001_metadata.sql"))];

/// Brings the database up to date. Servers that do so at the same time wait for each other.
pub(super) async fn migrate(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), Failure> {
    let migrations: &[(i64, &'static str, &'static str)] = match dialect {
        Dialect::Sqlite => &SQLITE,
        #[cfg(feature = "postgres")]
        Dialect::Postgres => &POSTGRES,
    };
    let known = migrations.iter().map(|(number, _, _)| *number).max().unwrap_or(0);
    let migrations = migrations.iter().map(|(number, name, text)| {
        let text: SqlStr = (*text).into_sql_str();
        Migration::new(*number, (*name).into(), MigrationType::Simple, text, false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    match migrator.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => Err(MetadataError::NewerSchema { found, known }.into()),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(error.into()),
        Err(error) => Err(MetadataError::damaged("the schema", error).into()),
    }
}
