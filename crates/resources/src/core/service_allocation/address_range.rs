//! The addresses of a range that services may have, and the order in which
//! they are tried. Owns no storage.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use environment::Random;
use ipnet::IpNet;

use super::families::Family;

/// Shortest prefix of an IPv6 range: longer searches would not end.
const IPV6_PREFIX_LEAST: u8 = 64;

/// The addresses of a range but the first, which names the network, and in
/// IPv4 the last, which is for broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AddressRange {
    network: IpNet,
    first: u128,
    /// Addresses from the first on; with the last address there may be no number beyond.
    count: u128,
    /// So many addresses from the first on are given out after those above,
    /// so that whoever asks for a certain low one finds it free.
    reserved: u128,
}

impl AddressRange {
    /// None if services cannot have addresses of `network`.
    pub(super) fn new(network: IpNet) -> Option<AddressRange> {
        let network = network.trunc();
        let (first, last) = (number(network.network()) + 1, number(network.broadcast()));
        let last = match network {
            IpNet::V4(_) => last.checked_sub(1)?,
            IpNet::V6(network) if network.prefix_len() < IPV6_PREFIX_LEAST => return None,
            IpNet::V6(_) => last,
        };
        let reserved = reserved(number(network.broadcast()) - number(network.network()) + 1);
        let count = last.checked_sub(first)? + 1;
        Some(AddressRange { network, first, count, reserved: reserved.min(count) })
    }

    pub(super) fn family(&self) -> Family {
        Family::of(self.network.addr())
    }

    /// True for addresses that may be given out.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family()
            && number(address).checked_sub(self.first).is_some_and(|n| n < self.count)
    }

    /// The range as it is written.
    pub(super) fn network(&self) -> IpNet {
        self.network
    }

    /// The first address given out, which is the API server's own.
    pub(super) fn first(&self) -> IpAddr {
        self.address(self.first)
    }

    /// All addresses: the preferred ones from a random place on, then the others likewise.
    pub(super) fn candidates(
        &self,
        random: &(dyn Random + 'static),
    ) -> impl Iterator<Item = IpAddr> + Send + use<> {
        let range = *self;
        let upper = from_random_place(self.first + self.reserved, self.count - self.reserved, random);
        let lower = from_random_place(self.first, self.reserved, random);
        upper.chain(lower).map(move |number| range.address(number))
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.network {
            // The range is one of IPv4: its numbers fit.
            IpNet::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            IpNet::V6(_) => Ipv6Addr::from(number).into(),
        }
    }
}

/// How many addresses at the bottom of a range of a size are given out last.
fn reserved(size: u128) -> u128 {
    const LEAST: u128 = 16;
    const MOST: u128 = 256;
    if size <= LEAST { 0 } else { (size / 16).clamp(LEAST, MOST) }
}

/// `count` numbers from `start` on, beginning anywhere.
fn from_random_place(
    start: u128,
    count: u128,
    random: &(dyn Random + 'static),
) -> impl Iterator<Item = u128> + Send + use<> {
    let offset = u128::from(random.u64()) % count.max(1);
    (0..count).map(move |i| start + (offset + i) % count)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn range(text: &str) -> Option<AddressRange> {
        AddressRange::new(text.parse().expect("a network"))
    }

    #[test]
    fn network_and_broadcast_addresses_are_not_given_out() {
        for (network, address, contained) in [
            ("10.0.0.0/24", "10.0.0.0", false),
            ("10.0.0.0/24", "10.0.0.1", true),
            ("10.0.0.0/24", "10.0.0.254", true),
            ("10.0.0.0/24", "10.0.0.255", false),
            ("fd00::/112", "fd00::", false),
            ("fd00::/112", "fd00::ffff", true),
            ("fd00::/112", "10.0.0.1", false),
        ] {
            let range = range(network).expect("a range of addresses");
            assert_eq!(range.contains(address.parse().expect("an address")), contained, "{address}");
        }
    }

    #[test]
    fn ranges_without_addresses_and_endless_ones_are_none() {
        assert!(range("10.0.0.0/31").is_none());
        assert!(range("10.0.0.0/32").is_none());
        assert!(range("fd00::/63").is_none());
        assert!(range("fd00::/64").is_some());
        assert!(range("10.0.0.0/30").is_some());
    }

    #[test]
    fn every_address_is_tried_once_and_low_ones_last() {
        let environment = environment::real::environment();
        for (network, count) in [("10.0.0.0/24", 254), ("10.0.0.0/28", 14), ("fd00::/120", 255)] {
            let range = range(network).expect("a range of addresses");
            let tried: Vec<IpAddr> = range.candidates(&*environment.random).collect();
            assert_eq!(tried.len(), count, "{network}");
            assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), count, "{network}");
        }
        let range = range("10.0.0.0/24").expect("a range of addresses");
        let tried: Vec<IpAddr> = range.candidates(&*environment.random).collect();
        let low = |address: &IpAddr| *address <= IpAddr::from([10, 0, 0, 16]);
        assert_eq!(tried.iter().position(low), Some(254 - 16));
    }

    #[test]
    fn the_largest_range_is_searched_without_overflow() {
        let environment = environment::real::environment();
        let range = range("ffff:ffff:ffff:ffff::/64").expect("a range of addresses");
        let tried = range.candidates(&*environment.random).take(3);
        assert!(tried.into_iter().all(|address| range.contains(address)));
    }
}
