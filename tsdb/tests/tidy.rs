//! The rules of the house that no compiler checks: arrows between crates, module docs, sizes, links.
#![expect(clippy::unwrap_used, clippy::panic, reason = "clippy exempts test functions, not what they call")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 600;
const FORBIDDEN_NAMES: [&str; 5] = ["utils", "util", "helpers", "common", "prelude"];

/// What each crate may depend on, of the family and from outside. DESIGN: an arrow not listed does not exist.
const ARROWS: [(&str, &[&str]); 6] = [
    ("tsdb-core", &["hashbrown", "regex-automata", "regex-syntax", "thiserror", "xxhash-rust"]),
    ("tsdb-index", &["tsdb-core", "hashbrown", "roaring", "thiserror"]),
    ("tsdb-rollup", &["tsdb-core", "thiserror"]),
    ("tsdb-promql", &["tsdb-core", "hashbrown", "thiserror"]),
    (
        "tsdb",
        &[
            "tsdb-core",
            "tsdb-index",
            "tsdb-rollup",
            "arc-swap",
            "crossbeam-channel",
            "hashbrown",
            "log",
            "parking_lot",
            "roaring",
            "serde_json",
            "snap",
            "thiserror",
            "ulid",
            "xxhash-rust",
            "zstd",
        ],
    ),
    (
        "tsdb-server",
        &[
            "tsdb-core",
            "tsdb-promql",
            "tsdb",
            "argon2",
            "axum",
            "base64",
            "bytes",
            "flate2",
            "futures-core",
            "futures-executor",
            "getrandom",
            "glob",
            "gotmpl",
            "hashbrown",
            "http-body",
            "http-body-util",
            "hyper",
            "itoa",
            "hyper-util",
            "jiff",
            "log",
            "object_store",
            "parking_lot",
            "prometheus-client",
            "quick_cache",
            "redis",
            "reqwest",
            "rustls-webpki",
            "serde",
            "serde-saphyr",
            "serde_json",
            "sha2",
            "snap",
            "sqlx",
            "subtle",
            "thiserror",
            "tokio",
            "tokio-rustls",
            "tokio-util",
            "toml",
            "tower",
            "tower-http",
            "xxhash-rust",
            "zmij",
            "zstd",
        ],
    ),
];

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    for (name, allowed) in ARROWS {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        for dependency in section(&manifest, "[dependencies]") {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn every_source_file_opens_with_a_module_doc() {
    for file in sources() {
        let text = read(&file);
        let documented = text.starts_with("//!") || text.starts_with("#![doc = include_str!(");
        assert!(documented, "{} opens with {:?}", file.display(), text.lines().next());
    }
}

#[test]
fn no_source_file_is_too_long_to_read() {
    for file in sources() {
        let lines = read(&file).lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines, more than {MAX_LINES}", file.display());
    }
}

#[test]
fn source_is_ascii() {
    for file in sources() {
        let text = read(&file);
        let found = text.lines().enumerate().find(|(_, line)| !line.is_ascii());
        assert!(found.is_none(), "{}: {found:?}", file.display());
    }
}

#[test]
fn lint_exceptions_are_expectations_with_a_reason() {
    for file in sources() {
        // Assembled, so that this file does not find itself.
        let allow = ["#[", "allow("].concat();
        let inner = ["#![", "allow("].concat();
        let text = read(&file);
        assert!(
            !text.contains(&allow) && !text.contains(&inner),
            "{}: write #[expect(.., reason)]",
            file.display()
        );
    }
}

#[test]
fn no_file_is_a_drawer_of_leftovers() {
    for file in sources() {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        assert!(!FORBIDDEN_NAMES.contains(&stem), "{}: name the one subject", file.display());
    }
}

#[test]
fn every_source_file_is_a_module_of_its_parent() {
    for file in sources().into_iter().filter(|file| file.components().any(|c| c.as_os_str() == "src")) {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("").to_owned();
        let folder = file.parent().unwrap();
        let in_bin = folder.file_name().is_some_and(|name| name == "bin");
        if ["lib", "main", "build"].contains(&stem.as_str()) || in_bin {
            continue;
        }
        let (module, scope) = match stem.as_str() {
            "mod" => (folder.file_name().unwrap().to_str().unwrap().to_owned(), folder.parent().unwrap()),
            _ => (stem, folder),
        };
        let parents =
            [scope.join("mod.rs"), scope.join("lib.rs"), scope.join("main.rs"), scope.with_extension("rs")];
        let declared =
            parents.iter().filter(|p| p.exists()).any(|p| read(p).contains(&format!("mod {module};")));
        assert!(declared, "{} is no module of anything", file.display());
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    for document in files_below(&root(), "md") {
        let text = read(&document);
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or("");
            if target.is_empty() || target.contains("::") || target.contains("://") || target.contains('`') {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}, which does not exist", document.display());
        }
    }
}

#[test]
fn tests_that_the_list_of_faults_names_exist() {
    let text = read(&root().join("docs/faults.md"));
    let known: BTreeSet<String> = sources()
        .iter()
        .flat_map(|file| {
            let source = read(file);
            let names = source.match_indices("fn ").map(|(at, _)| source.split_at(at + 3).1);
            names.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())).collect::<Vec<_>>()
        })
        .collect();
    let quoted = text.split('`').skip(1).step_by(2);
    let names: Vec<&str> = quoted
        .filter(|word| word.matches('_').count() > 2 && !word.starts_with("tsdb_") && !word.contains('.'))
        .collect();
    assert!(names.len() > 50, "{}", names.len());
    let missing: Vec<&&str> = names.iter().filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the keys in one section of a manifest.
fn section<'a>(manifest: &'a str, header: &str) -> BTreeSet<&'a str> {
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    let keys =
        lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once([' ', '=', '.']));
    keys.map(|(key, _)| key).filter(|key| !key.is_empty() && !key.starts_with('#')).collect()
}

fn sources() -> Vec<PathBuf> {
    files_below(&root(), "rs")
}

fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
