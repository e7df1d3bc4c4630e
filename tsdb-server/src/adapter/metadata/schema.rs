//! The tables: made and brought up to date by numbered migrations, one set for each database.
//!
//! Migrations only ever add. A migration that was released is never changed; the database keeps its checksum.

use super::connections::Dialect;
use super::failure::Failure;
use super::rows::number;
use crate::metadata::MetadataError;
use sqlx::AnyConnection;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqlStr};

/// Number, name and text of each migration of SQLite.
const SQLITE: [(i64, &str, &str); 1] = [(1, "metadata", include_str!("sqlite/0001_metadata.sql"))];
/// Number, name and text of each migration of PostgreSQL.
#[cfg(feature = "postgres")]
const POSTGRES: [(i64, &str, &str); 1] = [(1, "metadata", include_str!("postgres/0001_metadata.sql"))];

type Migrations = [(i64, &'static str, &'static str)];

fn migrations(dialect: Dialect) -> &'static Migrations {
    match dialect {
        Dialect::Sqlite => &SQLITE,
        #[cfg(feature = "postgres")]
        Dialect::Postgres => &POSTGRES,
    }
}

/// The newest schema that this program knows.
fn known(dialect: Dialect) -> i64 {
    migrations(dialect).iter().map(|(number, _, _)| *number).max().unwrap_or(0)
}

/// Did a server make the tables, one that is not newer than this program? Changes nothing.
pub(super) async fn check(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), Failure> {
    let select =
        "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) AS version FROM _sqlx_migrations WHERE success";
    let row = sqlx::query(select).fetch_one(connection).await?;
    let (found, known) = (number(&row, "version")?, known(dialect));
    if found > known {
        return Err(MetadataError::NewerSchema { found, known }.into());
    }
    Ok(())
}

/// Brings the database up to date. Servers that do so at the same time wait for each other.
pub(super) async fn migrate(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), Failure> {
    let known = known(dialect);
    let migrations = migrations(dialect).iter().map(|(number, name, text)| {
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
