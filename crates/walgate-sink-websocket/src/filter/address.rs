//! Addresses and networks by value: `inet` and `cidr`.

use std::net::IpAddr;

/// An address with the length of its network's prefix.
pub(super) type Address = (IpAddr, u8);

/// Reads `10.0.0.1`, `10.0.0.0/8`, `::1`. Without a prefix it is one host.
pub(super) fn address(text: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= longest)?,
        None => longest,
    };
    Some((address, prefix))
}
