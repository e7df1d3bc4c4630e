//! The decision whether a request may go on.
//!
//! First who it comes from: a credential that it presents, else its certificate, else nobody, which is enough only where
//! the settings trust it. A credential that is presented and wrong is never passed over. Then what it wants and whose
//! data it names: a tenant outside the grants is refused before anything of it is looked up.

use super::audit::{Audit, Event, Outcome};
use super::book::CredentialBook;
use super::caller::{Caller, Method};
use super::credentials::{Credential, CredentialsError};
use super::grants::{Grants, TenantList};
use super::passwords::Passwords;
use super::peer::Peer;
use super::presented::{Presented, presented};
use super::secret::SecretError;
use super::{Right, Scope, TenantPolicy, scope};
use crate::Network;
use crate::config::AccessConfig;
use crate::error::{ApiError, ErrorKind};
use axum::http::HeaderMap;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tsdb_core::TenantId;

/// Decides for every request of a server.
#[derive(Debug)]
pub(crate) struct Gate {
    unnamed: TenantPolicy,
    credentials: Option<(CredentialBook, Passwords)>,
    networks: Vec<Network>,
    trusts_all: bool,
    trusted: Arc<Grants>,
    audit: Audit,
    passed: Mutex<BTreeMap<Method, u64>>,
}

/// Why the rules of access cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The credentials file cannot be used.
    #[error("credentials_file: {source}")]
    Credentials {
        /// Why.
        #[from]
        source: CredentialsError,
    },
    /// Secrets cannot be verified.
    #[error("passwords cannot be verified: {source}")]
    Secrets {
        /// Why.
        #[from]
        source: SecretError,
    },
}

/// Whoever a request comes from, and what it may touch.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) caller: Caller,
    /// `None` if it is about no tenant.
    pub(crate) scope: Option<Scope>,
}

impl Gate {
    /// # Errors
    /// The credentials file cannot be used.
    pub(crate) fn new(
        unnamed: TenantPolicy,
        config: &AccessConfig,
        admin_api: bool,
    ) -> Result<Self, AccessError> {
        let file = Some(&config.credentials_file).filter(|path| !path.as_os_str().is_empty());
        let credentials = match file {
            Some(path) => Some((CredentialBook::open(path)?, Passwords::new()?)),
            None => None,
        };
        let trusted = Grants {
            read: TenantList::All,
            write: TenantList::All,
            administer: admin_api,
            monitor: true,
            across_tenants: config.trusted_across_tenants,
        };
        Ok(Self {
            unnamed,
            trusts_all: config.trust_all || (credentials.is_none() && config.trusted_networks.is_empty()),
            credentials,
            networks: config.trusted_networks.clone(),
            trusted: Arc::new(trusted),
            audit: Audit::default(),
            passed: Mutex::default(),
        })
    }

    /// What a request without a tenant means.
    pub(crate) const fn unnamed(&self) -> &TenantPolicy {
        &self.unnamed
    }

    /// The record of administration and refusals.
    pub(crate) const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Requests that passed, by how their callers are known.
    pub(crate) fn passed(&self) -> Vec<(&'static str, u64)> {
        self.passed.lock().iter().map(|(method, count)| (method.as_str(), *count)).collect()
    }

    /// Was the credentials file usable when it was read last? `None` without one.
    pub(crate) fn credentials_usable(&self) -> Option<bool> {
        self.credentials.as_ref().map(|(book, _)| book.is_successful())
    }

    /// Reads the credentials file anew; if not `always`, then only if it has changed.
    ///
    /// # Errors
    /// It cannot be used; what was in force stays.
    pub(crate) fn reload(&self, always: bool) -> Result<(), CredentialsError> {
        match &self.credentials {
            Some((book, _)) if always => book.reload(),
            Some((book, _)) => book.refresh(),
            None => Ok(()),
        }
    }

    /// Is the address one of a network that is trusted by name?
    pub(crate) fn trusts_network_of(&self, address: SocketAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address.ip()))
    }

    /// Who asks for `route`, and which tenants the request may touch.
    ///
    /// # Errors
    /// The caller is not known, lacks the right, or names its tenants wrongly.
    pub(crate) async fn admit(
        &self,
        route: &'static str,
        right: Right,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Pass, ApiError> {
        let caller = match self.identify(headers, peer).await {
            Ok(caller) => caller,
            Err(error) => {
                if error.kind() == ErrorKind::Unauthorized {
                    let tenants = scope::as_sent(headers);
                    self.refused(route, None, peer.address, &tenants, &error);
                }
                return Err(error);
            }
        };
        match self.authorise(right, &caller, headers) {
            Ok(scope) => {
                *self.passed.lock().entry(caller.method).or_default() += 1;
                Ok(Pass { caller, scope })
            }
            Err(error) => {
                if error.kind() == ErrorKind::Forbidden {
                    let tenants = scope::as_sent(headers);
                    self.refused(route, Some(&caller), peer.address, &tenants, &error);
                }
                Err(error)
            }
        }
    }

    /// # Errors
    /// The caller may not administer.
    pub(crate) fn administrator(caller: &Caller) -> Result<(), ApiError> {
        if caller.grants.administer { Ok(()) } else { Err(no_administrator(caller)) }
    }

    /// Records that a request was refused for who sent it.
    pub(crate) fn refused(
        &self,
        action: &'static str,
        caller: Option<&Caller>,
        from: Option<SocketAddr>,
        tenants: &str,
        error: &ApiError,
    ) {
        let unknown = error.kind() == ErrorKind::Unauthorized;
        let outcome = if unknown { Outcome::Unauthenticated } else { Outcome::Forbidden };
        self.audit.record(&Event { caller, from, action, tenants, outcome, detail: &error.to_string() });
    }

    /// Records what became of an act of administration.
    pub(crate) fn administered(&self, action: &'static str, pass: &Pass, status: u16) {
        let tenants = pass.scope.as_ref().map(Scope::key).unwrap_or_default();
        let outcome = if status < 400 { Outcome::Done } else { Outcome::Failed };
        let detail = format!("status {status}");
        let caller = Some(&pass.caller);
        self.audit.record(&Event {
            caller,
            from: pass.caller.from,
            action,
            tenants: &tenants,
            outcome,
            detail: &detail,
        });
    }

    async fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Caller, ApiError> {
        if let Some((book, passwords)) = &self.credentials {
            let known = book.current();
            let shown = presented(headers).map_err(|fault| unauthorized(fault.to_string()))?;
            let found = match &shown {
                Some(Presented::Bearer(token)) => {
                    Some((Method::Bearer, known.of_token(token).ok_or_else(wrong)?))
                }
                Some(Presented::Basic { user, password }) => {
                    let entry = known.of_user(user);
                    let right = passwords.verify(entry.map(|(hash, _)| hash), password).await?;
                    let (_, credential) = entry.filter(|_| right).ok_or_else(wrong)?;
                    Some((Method::Basic, credential))
                }
                None => {
                    known.of_certificate(&peer.certificate_names).map(|found| (Method::Certificate, found))
                }
            };
            if let Some((method, credential)) = found {
                return Ok(holder(method, credential, peer));
            }
        }
        if self.trusts_all || peer.address.is_some_and(|address| self.trusts_network_of(address)) {
            return Ok(Caller {
                name: "trusted".into(),
                method: Method::Trusted,
                from: peer.address,
                grants: Arc::clone(&self.trusted),
            });
        }
        Err(unauthorized("the request has no credential".to_owned()))
    }

    fn authorise(
        &self,
        right: Right,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Option<Scope>, ApiError> {
        let grants = &caller.grants;
        if right.administers() {
            Self::administrator(caller)?;
        }
        if right == Right::Monitor && !(grants.monitor || grants.administer) {
            return Err(forbidden(format!("{} may not see the metrics of the server", who(caller))));
        }
        if !right.names_tenants() {
            return Ok(None);
        }
        let (allowed, verb) = match right {
            Right::Read => (&grants.read, "read"),
            _ => (&grants.write, "write"),
        };
        let mut tenants = scope::named(headers)?;
        if tenants.is_empty() {
            tenants.push(self.unnamed_of(caller, allowed, verb)?);
        }
        if tenants.len() > 1 && right != Right::Read {
            return Err(scope::only_one(tenants.len()));
        }
        if tenants.len() > 1 && !grants.across_tenants {
            return Err(forbidden(format!("{} may not query across tenants", who(caller))));
        }
        match tenants.iter().find(|tenant| !allowed.contains(tenant)) {
            Some(tenant) => Err(forbidden(format!("{} may not {verb} tenant {tenant}", who(caller)))),
            None => Ok(Some(Scope::new(tenants, caller.clone()))),
        }
    }

    /// The tenant of a request that names none: the only one of its caller, else the default one if it is among them.
    fn unnamed_of(&self, caller: &Caller, allowed: &TenantList, verb: &str) -> Result<TenantId, ApiError> {
        if let Some(tenant) = allowed.single() {
            return Ok(tenant.clone());
        }
        if allowed.is_empty() {
            return Err(forbidden(format!("{} may not {verb} any tenant", who(caller))));
        }
        let tenant = self.unnamed.unnamed()?;
        if allowed.contains(&tenant) {
            return Ok(tenant);
        }
        let message =
            format!("{} may {verb} several tenants: name one by the header X-Tenant-ID", who(caller));
        Err(ApiError::bad_data(message))
    }
}

fn no_administrator(caller: &Caller) -> ApiError {
    match caller.method {
        Method::Trusted => forbidden("the admin API is off: the setting admin_api turns it on".to_owned()),
        _ => forbidden(format!("{} may not administer", who(caller))),
    }
}

fn who(caller: &Caller) -> String {
    match caller.method {
        Method::Trusted => "a caller without a credential".to_owned(),
        _ => format!("credential {:?}", caller.name),
    }
}

fn holder(method: Method, credential: &Arc<Credential>, peer: &Peer) -> Caller {
    Caller {
        name: Arc::clone(&credential.name),
        method,
        from: peer.address,
        grants: Arc::clone(&credential.grants),
    }
}

fn unauthorized(message: String) -> ApiError {
    ApiError::new(ErrorKind::Unauthorized, message)
}

fn forbidden(message: String) -> ApiError {
    ApiError::new(ErrorKind::Forbidden, message)
}

fn wrong() -> ApiError {
    unauthorized("the credential of the request is unknown or wrong".to_owned())
}
