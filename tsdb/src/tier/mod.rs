//! Blocks on object storage.
//!
//! Sealed blocks are uploaded and verified, the [manifest](Manifest) says by conditional put what exists, and what lies
//! far away is read back in ranges. The local copy of a block goes only after its objects were read back and found to
//! be the same.
//!
//! Deliberately absent: any particular service (an adapter implements [`ObjectStore`]), async, and locks: who may
//! change what others uploaded is said by the manifest, where a block is held by its server or else belongs to whoever
//! has the [`Lease`].

mod backup;
pub(crate) mod deleted;
mod dir;
mod disk;
pub(crate) mod dropped;
mod fetch;
#[cfg(test)]
mod golden;
mod lease;
mod ledger;
mod manifest;
mod options;
mod owner;
mod remote;
mod retry;
mod sectors;
mod shipper;
#[cfg(feature = "testing")]
mod sim;
mod store;
mod sweep;
pub(crate) mod types;
pub(crate) mod upload;

pub use backup::{BackupError, BackupReport, Backups};
pub use dir::DirStore;
pub(crate) use lease::Epoch;
pub use ledger::{Ledger, LedgerError, Loaded};
pub use manifest::{Lease, Manifest, StoredBlock, StoredFile};
pub use options::{Tier, TierRole};
pub use retry::Retry;
pub(crate) use shipper::{Change, Pace, Shipper};
#[cfg(feature = "testing")]
pub use sim::{Asked, Call, Fate, SimStore};
pub use store::{Condition, ObjectInfo, ObjectStore, StoreError, Version};
pub use upload::UploadError;
