//! The partition of a key, as Java's producer chooses it.

/// Seed of `org.apache.kafka.common.utils.Utils.murmur2`.
const SEED: u32 = 0x9747_b28c;
/// Multiplier of MurmurHash2.
const M: u32 = 0x5bd1_e995;
/// Shift of MurmurHash2.
const R: u32 = 24;

/// `Utils.murmur2` of the Java client: MurmurHash2 with its seed, words little-endian.
pub(crate) fn murmur2(data: &[u8]) -> u32 {
    // Java's lengths are 31 bits; a key of PostgreSQL is below 1 GiB.
    let mut hash = SEED ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let word = word
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u32::from(*byte));
        let mixed = word.wrapping_mul(M);
        let mixed = (mixed ^ (mixed >> R)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ mixed;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a key: `toPositive(murmur2(key)) % partitions`, as in Java's
/// `BuiltInPartitioner.partitionForKey`. `partitions` is at least 1.
pub(crate) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    // `toPositive` clears the sign bit: what is left fits into an i32.
    (murmur2(key) & 0x7fff_ffff) as i32 % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Utils.murmur2` of kafka-clients 4.2.0 says, and the partitions of 3, 12 and 1000.
    const OF_JAVA: &[(&str, i32, [i32; 3])] = &[
        ("", 275_646_681, [0, 9, 681]),
        ("a", -1_563_381_124, [1, 4, 524]),
        ("ab", 316_155_434, [2, 2, 434]),
        ("abc", 479_470_107, [0, 3, 107]),
        ("abcd", -1_323_649_548, [2, 8, 100]),
        ("21", -973_932_308, [0, 0, 340]),
        ("foobar", -790_332_482, [0, 6, 166]),
        ("a-little-bit-long-string", -985_981_536, [2, 8, 112]),
        ("a-little-bit-longer-string", -1_486_304_829, [2, 11, 819]),
        (
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
            [2, 5, 677],
        ),
        (r#"{"id":42}"#, 486_015_037, [1, 1, 37]),
        (
            r#"{"id":-1,"tenant":"zürich"}"#,
            1_647_727_559,
            [2, 11, 559],
        ),
        ("public.orders", 1_158_699_270, [0, 6, 270]),
        (r#"{"id":9223372036854775807}"#, 1_515_818_023, [1, 7, 23]),
    ];

    #[test]
    fn agrees_with_java() {
        for (key, hash, partitions) in OF_JAVA {
            assert_eq!(murmur2(key.as_bytes()) as i32, *hash, "{key}");
            for (count, partition) in [3, 12, 1000].into_iter().zip(partitions) {
                assert_eq!(
                    partition_of(key.as_bytes(), count),
                    *partition,
                    "{key} of {count}"
                );
            }
            assert_eq!(partition_of(key.as_bytes(), 1), 0);
        }
    }

    #[test]
    fn agrees_with_java_on_bytes_above_127() {
        assert_eq!(murmur2(&[0xff, 0x80, 0, 0xfe, 1]) as i32, -433_461_584);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(murmur2(&all) as i32, -1_948_347_274);
    }
}
