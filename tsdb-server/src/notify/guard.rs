//! Keeps requests to receivers out of networks that are not the public internet, unless the settings allow them: the
//! URL of a receiver must not be a way to a cloud's metadata or to a neighbour's administration.
//!
//! An address is checked where it is used: names are resolved here, and the connection goes to an address that passed.
//! What a name leads to later is checked again with the connection that is made then. Redirects are not followed by
//! anyone, and no proxy is used, which would resolve names by itself.

use crate::Network;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Which addresses may be spoken to.
#[derive(Debug)]
pub(super) struct Guard {
    allowed: Vec<Network>,
    special: Vec<(Network, &'static str)>,
}

/// A receiver that may not be spoken to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum GuardError {
    #[error(
        "{address} is not on the public internet ({what}), and alerting.allowed_networks does not allow it"
    )]
    Refused { address: IpAddr, what: &'static str },
    #[error("{host} leads to no address")]
    NoAddress { host: String },
}

/// What is not the public internet, by IANA's registries of special-purpose addresses, and what it is.
const SPECIAL: [(&str, &str); 24] = [
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a provider"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local, where clouds keep metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "for protocols"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    // Unspecified, loopback, and version 4 in old forms.
    ("::/64", "loopback or unspecified"),
    ("64:ff9b::/32", "translated"),
    ("100::/64", "discarded"),
    ("2001::/23", "for protocols"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "a tunnel"),
    ("fc00::/7", "private"),
    ("fe80::/9", "link-local or site-local"),
    ("ff00::/8", "multicast"),
];

impl Guard {
    /// Lets requests out to the public internet and to `allowed`.
    pub(super) fn new(allowed: Vec<Network>) -> Self {
        let special = SPECIAL.iter().filter_map(|(network, what)| Some((network.parse().ok()?, *what)));
        Self { allowed, special: special.collect() }
    }

    /// May `address` be spoken to?
    pub(super) fn check(&self, address: IpAddr) -> Result<(), GuardError> {
        let address = plain(address);
        if self.allowed.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match self.special.iter().find(|(network, _)| network.contains(address)) {
            Some((_, what)) => Err(GuardError::Refused { address, what }),
            None => Ok(()),
        }
    }

    /// May the host of `url` be spoken to, if it is an address? Names are checked when they are resolved.
    pub(super) fn check_host(&self, url: &Url) -> Result<(), GuardError> {
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.parse().map_or(Ok(()), |address| self.check(address))
    }

    /// Those of `found` that may be spoken to.
    fn sift(
        &self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, GuardError> {
        let (mut passed, mut refusal) = (Vec::new(), None);
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => passed.push(address),
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            _ if !passed.is_empty() => Ok(passed),
            Some(refusal) => Err(refusal),
            None => Err(GuardError::NoAddress { host: host.to_owned() }),
        }
    }
}

/// An address of version 4 in the form of version 6 as what it is.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Resolves names for the guard.
#[derive(Debug, Clone)]
pub(super) struct GuardedNames(pub(super) Arc<Guard>);

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let passed = guard.sift(name.as_str(), found)?;
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard::new(allowed.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn addresses_that_are_not_of_the_internet_are_refused() {
        let guard = guard(&[]);
        assert_eq!(guard.special.len(), SPECIAL.len());
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
        ] {
            assert!(guard.check(text.parse().unwrap()).is_err(), "{text}");
        }
        for text in ["1.1.1.1", "100.63.255.255", "172.32.0.1", "192.167.1.1", "2606:4700::1111", "2a00::1"] {
            assert_eq!(guard.check(text.parse().unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn networks_of_the_settings_are_allowed_and_no_others() {
        let guard = guard(&["127.0.0.0/8", "fd00::/16"]);
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "fd00::1"] {
            assert_eq!(guard.check(text.parse().unwrap()), Ok(()), "{text}");
        }
        for text in ["169.254.169.254", "10.0.0.1", "fd01::1", "::1"] {
            assert!(guard.check(text.parse().unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_checked_however_it_is_written() {
        let guard = guard(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]:80/",
            "http://[::ffff:7f00:1]/",
            "http://127.1/",
        ] {
            assert!(guard.check_host(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        assert_eq!(guard.check_host(&Url::parse("http://example.org/").unwrap()), Ok(()));
    }

    #[test]
    fn of_a_names_addresses_only_those_that_pass_are_connected_to() {
        let guard = guard(&[]);
        let found = ["10.0.0.1:80", "1.1.1.1:80"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(guard.sift("x", found.into_iter()).unwrap(), [found[1]]);
        let refused = guard.sift("x", found.into_iter().take(1)).unwrap_err().to_string();
        assert!(refused.contains("10.0.0.1") && refused.contains("alerting.allowed_networks"), "{refused}");
        assert!(guard.sift("x", std::iter::empty()).is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_loopback_is_refused_when_it_is_resolved() {
        let names = |guard| GuardedNames(Arc::new(guard)).resolve("localhost".parse().unwrap());
        assert!(names(guard(&[])).await.is_err());
        assert!(names(guard(&["127.0.0.0/8", "::1"])).await.is_ok());
    }
}
