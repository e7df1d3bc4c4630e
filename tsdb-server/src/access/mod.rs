//! Who is asking, and whose data it is.
//!
//! Every route says which [`Right`] it takes; before its handler runs, the request is given a [`Scope`] with the
//! tenants that it may touch, or refused. Handlers take the scope as an argument and never read the headers that name
//! tenants, so none can forget to ask.

mod gate;
mod right;
mod scope;

pub(crate) use gate::Gate;
pub(crate) use right::Right;
pub(crate) use scope::Scope;
pub use scope::TenantPolicy;
