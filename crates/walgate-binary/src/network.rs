//! inet, cidr, macaddr.

use crate::bits::hex;
use crate::field::{Fields, Refused};
use crate::number::write_integer;

/// `PGSQL_AF_INET` and `PGSQL_AF_INET6` of `src/include/utils/inet.h`.
const INET: u8 = 2;
const INET6: u8 = 3;

/// `network_out`: of inet the length of the mask is printed when it is not the whole address, of
/// cidr always.
pub(crate) fn write_inet(mut fields: Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    let (family, bits) = (fields.u8()?, fields.u8()?);
    let (is_cidr, len) = (fields.u8()?, fields.u8()?);
    let most = match (family, len) {
        (INET, 4) => {
            write_v4(fields.array()?, out);
            32
        }
        (INET6, 16) => {
            write_v6(fields.array()?, out);
            128
        }
        _ => return Err(Refused),
    };
    if bits > most || is_cidr > 1 {
        return Err(Refused);
    }
    if is_cidr == 1 || bits < most {
        out.push(b'/');
        write_integer(bits, out);
    }
    fields.end()
}

fn write_v4(address: [u8; 4], out: &mut Vec<u8>) {
    for (place, byte) in address.into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        write_integer(byte, out);
    }
}

/// `pg_inet_net_ntop` of `src/port/inet_net_ntop.c`: the first of the longest runs of at least two
/// zeros is left out, and an address of version 4 inside is written as one.
fn write_v6(address: [u8; 16], out: &mut Vec<u8>) {
    let (pairs, _) = address.as_chunks::<2>();
    let words: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let (base, len) = longest_zeros(&words);
    let gap = base..base + len;
    for (place, word) in words.iter().enumerate() {
        if gap.contains(&place) {
            if place == base {
                out.push(b':');
            }
            continue;
        }
        if place > 0 {
            out.push(b':');
        }
        let behind_gap = base == 0 && (len == 6 || len == 5 && words.get(5) == Some(&0xffff));
        if place == 6 && behind_gap {
            let [.., a, b, c, d] = address;
            write_v4([a, b, c, d], out);
            return;
        }
        out.extend_from_slice(format!("{word:x}").as_bytes());
    }
    if len > 0 && gap.end == words.len() {
        out.push(b':');
    }
}

/// Where it begins and how long it is; nothing when none has at least two.
fn longest_zeros(words: &[u16]) -> (usize, usize) {
    let (mut best, mut current) = ((0, 0), (0, 0));
    for (place, word) in words.iter().enumerate() {
        current = match (*word, current) {
            (0, (_, 0)) => (place, 1),
            (0, (base, len)) => (base, len + 1),
            _ => (0, 0),
        };
        if current.1 > best.1 {
            best = current;
        }
    }
    if best.1 < 2 { (0, 0) } else { best }
}

/// `macaddr_out`, `macaddr8_out`.
pub(crate) fn write_macaddr(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    if !matches!(bytes.len(), 6 | 8) {
        return Err(Refused);
    }
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 {
            out.push(b':');
        }
        out.extend_from_slice(&hex(*byte));
    }
    Ok(())
}
