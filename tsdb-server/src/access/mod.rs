//! Who is asking, and whose data it is.
//!
//! Every route says which [`Right`] it takes; before its handler runs, the [`Gate`] finds out who the request comes from
//! and gives it a [`Scope`] with the tenants that it may touch, or refuses it. Handlers take the scope as an argument and
//! never read the headers that name tenants, so none can forget to ask. Those that sign what they do take the [`Caller`].
//!
//! Who a caller is, a [credential](credentials) says: a bearer token, user and password, or the names in a certificate
//! that the connection verified. Where there are no credentials, or the settings trust a network, the headers are
//! believed. What administers, and what is refused for who sent it, leaves a line of [audit].
//!
//! *Absent:* users, roles, sessions; grants are those of the file, and a tenant is never part of a path here.

mod audit;
mod book;
mod caller;
mod credentials;
mod gate;
mod grants;
mod passwords;
mod peer;
mod presented;
mod right;
mod scope;
mod secret;

pub(crate) use caller::Caller;
pub use credentials::{CredentialFault, CredentialsError};
pub use gate::AccessError;
pub(crate) use gate::{Gate, Pass};
pub(crate) use peer::Peer;
pub(crate) use right::Right;
pub(crate) use scope::Scope;
pub use scope::TenantPolicy;
pub use secret::{SecretError, hash_password, hash_token, new_token};

/// Reads the credentials file at `path` as a server would; answers how many credentials it holds.
///
/// # Errors
/// It cannot be used.
pub fn check_credentials(path: &std::path::Path) -> Result<usize, CredentialsError> {
    credentials::Credentials::load(path).map(|credentials| credentials.len())
}
