//! The store in a file of SQLite.

use crate::contract;
use std::path::Path;
use std::time::Duration;
use tsdb_core::TenantId;
use tsdb_server::SqlMetadata;
use tsdb_server::metadata::{MetadataErrorKind, MetadataStore, Overrides, Revision, Signature};

const TIMEOUT: Duration = Duration::from_secs(30);

fn open(path: &Path) -> SqlMetadata {
    SqlMetadata::open_file(path, TIMEOUT).unwrap()
}

fn by() -> Signature {
    Signature { who: "x".to_owned(), at: 1 }
}

#[test]
fn a_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (name, holds)) in contract::ALL.into_iter().enumerate() {
        println!("{name}");
        // Characters that mean something in URLs are part of the name.
        holds(&open(&folder.path().join(format!("a b?c=%20&#{number}.db"))));
    }
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name == "a b?c=%20&#0.db"));
}

#[test]
fn a_file_is_found_again_as_it_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    let tenant = TenantId::new("a").unwrap();
    let limits = Overrides::parse(br#"{"ingest":{"samples_per_second":7}}"#).unwrap();
    let put = open(&path).put_budget(&tenant, &limits, None, &by()).unwrap();
    let again = open(&path);
    assert_eq!(again.budget(&tenant).unwrap(), Some(put));
    assert_eq!(again.changes(Revision::START).unwrap().budgets, [tenant]);
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    let made = path.clone();
    tokio::task::spawn_blocking(move || drop(open(&made))).await.unwrap();
    execute(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', TRUE, x'00', 0)",
    )
    .await;
    let refused = tokio::task::spawn_blocking(move || SqlMetadata::open_file(&path, TIMEOUT)).await.unwrap();
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), MetadataErrorKind::Damaged);
    let text = error.to_string();
    assert!(text.contains("schema version 99") && text.contains("up to 1"), "{text}");
}

#[tokio::test]
async fn what_people_change_by_hand_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    let made = path.clone();
    let store = tokio::task::spawn_blocking(move || open(&made)).await.unwrap();
    execute(&path, "INSERT INTO tenant_budgets (tenant_id, max_samples_per_second) VALUES ('a', 5)").await;
    let work = move || {
        let changes = store.changes(Revision(0)).unwrap();
        (changes.revision, changes.budgets, store.budgets().unwrap(), store)
    };
    let (revision, changed, budgets, store) = tokio::task::spawn_blocking(work).await.unwrap();
    assert!(revision > Revision::START);
    assert_eq!(changed, [TenantId::new("a").unwrap()]);
    assert_eq!(budgets[0].overrides.to_string(), r#"{"ingest":{"samples_per_second":5}}"#);
    execute(&path, "UPDATE tenant_budgets SET allowed_custom_labels_count = 3").await;
    let again = tokio::task::spawn_blocking(move || (store.changes(revision).unwrap(), store));
    let (changes, store) = again.await.unwrap();
    assert_eq!((changes.budgets.len(), changes.all), (1, false));
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    std::fs::write(&path, "not a database, but someone's text ".repeat(1_000)).unwrap();
    let error = SqlMetadata::open_file(&path, TIMEOUT).unwrap_err();
    assert_eq!(error.kind(), MetadataErrorKind::Damaged, "{error}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("not a database"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named_as_such() {
    let error = SqlMetadata::open_file(Path::new("/proc/nowhere/metadata.db"), TIMEOUT).unwrap_err();
    assert_eq!(error.kind(), MetadataErrorKind::Unavailable, "{error}");
}

#[test]
fn a_url_of_no_database_is_refused() {
    for url in ["mysql://x/y", "nonsense", ""] {
        let error = SqlMetadata::connect(url, TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), MetadataErrorKind::Invalid, "{url}");
        assert!(error.to_string().starts_with("metadata.url"), "{error}");
    }
}

/// Runs `statement` on the file, as a person with a shell would.
async fn execute(path: &Path, statement: &'static str) {
    use sqlx::{Connection, Executor};
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}
