//! Golden files of the smaller formats: bytes that every later version reads.

use std::path::Path;

/// The golden file `name`. It is made of `written` with `UPDATE_GOLDEN=1` in the environment, if it is not there yet.
pub(super) fn stored(name: &str, written: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, written).unwrap();
    }
    std::fs::read(&path).unwrap()
}
