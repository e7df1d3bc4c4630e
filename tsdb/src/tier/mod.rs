//! Blocks on object storage.
//!
//! Sealed blocks are uploaded and verified, the [manifest](Manifest) says by conditional put what exists, and what lies
//! far away is read back in ranges. The local copy of a block goes only after its objects were read back and found to
//! be the same.
//!
//! Deliberately absent: any particular service (an adapter implements [`ObjectStore`]), async, and locks: who may
//! change what others uploaded is said by a [`Lease`] in the manifest.

mod dir;
mod fetch;
mod ledger;
mod manifest;
mod remote;
mod retry;
mod sectors;
#[cfg(feature = "testing")]
mod sim;
mod store;
mod sweep;
mod upload;

pub use dir::DirStore;
pub use ledger::{Ledger, LedgerError, Loaded};
pub use manifest::{Lease, Manifest, StoredBlock, StoredFile};
pub(crate) use remote::RemoteFs;
pub use retry::Retry;
#[cfg(feature = "testing")]
pub use sim::{Asked, Call, Fate, SimStore};
pub use store::{Condition, ObjectInfo, ObjectStore, StoreError, Version};
pub use upload::UploadError;
