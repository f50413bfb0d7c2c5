//! Free TCP ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::ThrowawayError;

/// Ports below the ranges from which systems take outgoing connections (Linux 32768, macOS 49152):
/// a server that restarts must find its port free.
const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;

/// How many ports are tried before giving up.
const TRIES: u32 = 500;

/// A port on 127.0.0.1 that nothing listens on right now. Another process may still be faster, so
/// who listens on it must try again with another one.
pub(crate) fn free_port() -> Result<u16, ThrowawayError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Each process starts somewhere else; RandomState is seeded by the system.
    static START: std::sync::LazyLock<u64> =
        std::sync::LazyLock::new(|| RandomState::new().build_hasher().finish());
    for _ in 0..TRIES {
        let step = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = START.wrapping_add(step) % u64::from(COUNT);
        let Ok(port) = u16::try_from(u64::from(FIRST) + offset) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ThrowawayError::Setup(format!(
        "no free port among {TRIES} tried"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let first = free_port().unwrap();
        let second = free_port().unwrap();
        assert_ne!(first, second);
        TcpListener::bind((Ipv4Addr::LOCALHOST, second)).unwrap();
    }
}
