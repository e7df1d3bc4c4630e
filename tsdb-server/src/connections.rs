//! How many connections each address has.
//!
//! One client must not take all places for connections. Addresses of IPv6 count by their first 64 bits, which is what a
//! client has to itself.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Connections by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The place of a connection, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    client: IpAddr,
}

impl Connections {
    /// A place for one more connection of `address`; `None` if it has `most`.
    pub(crate) fn place(&self, address: IpAddr, most: usize) -> Option<Place> {
        let client = client_of(address);
        let mut open = self.open.lock();
        let count = open.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place { open: Arc::clone(&self.open), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_places_and_gives_them_back() {
        let connections = Connections::default();
        let place = |text: &str| connections.place(text.parse().unwrap(), 2);
        let first = place("10.0.0.1").unwrap();
        let second = place("::ffff:10.0.0.1").unwrap();
        assert!(place("10.0.0.1").is_none());
        let other = place("10.0.0.2").unwrap();
        let six = (place("2001:db8::1").unwrap(), place("2001:db8::2").unwrap());
        assert!(place("2001:db8::3").is_none() && place("2001:db8:0:1::3").is_some());
        drop(first);
        let again = place("10.0.0.1").unwrap();
        assert!(place("10.0.0.1").is_none());
        drop((second, again, other, six));
        assert!(connections.open.lock().is_empty());
    }
}
