//! What compression of the journal is worth: bytes for each change, and CPU time, for rows of nine
//! columns in transactions of one row, as records of their own and in blocks of several.
//!
//! `cargo run --release -p walgate-journal --example compression`
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "an example that measures and says so"
)]

use std::time::Instant;

use fastrand::Rng;

/// About 30 MiB of rows.
const ROWS: usize = 200_000;
/// Entry, frame table and the like of a run of one transaction, as the segment has them.
const RUN_HEAD_BYTES: usize = 74 + 3 * 11;

/// An insert of nine columns, as pgoutput sends it, between its begin and its commit.
fn run(random: &mut Rng, number: usize) -> Vec<u8> {
    let (mut lsn, time) = (
        0x14A_3100 + 320 * number as u64,
        600_000_000_000_000 + 1_700 * number as u64,
    );
    let mut out = vec![0; RUN_HEAD_BYTES - 28];
    out.extend_from_slice(&(number as u64).to_le_bytes());
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(&(number as u32).to_le_bytes());
    out.push(b'B');
    out.extend_from_slice(&lsn.to_be_bytes());
    out.extend_from_slice(&time.to_be_bytes());
    out.extend_from_slice(&(number as u32).to_be_bytes());
    let letters = |random: &mut Rng, len: usize| -> String {
        (0..len).map(|_| random.alphanumeric()).collect()
    };
    let values = [
        number.to_string(),
        random.u32(1..100_000).to_string(),
        (*random
            .choice(&["open", "paid", "sent", "back"])
            .expect("not empty"))
        .to_owned(),
        format!("{} {}", letters(random, 6), letters(random, 9)),
        format!("{}.{:02}", random.u32(1..5_000), random.u32(0..100)),
        format!(
            r#"{{"sku": "{}", "qty": {}}}"#,
            letters(random, 5),
            random.u8(1..9)
        ),
        format!(
            "2026-11-21 09:{:02}:{:02}.{:06}+00",
            random.u8(0..60),
            random.u8(0..60),
            random.u32(0..1_000_000)
        ),
        (*random.choice(&["t", "f"]).expect("not empty")).to_owned(),
        format!("{:.4}", random.f64()),
    ];
    out.push(b'I');
    out.extend_from_slice(&16_384u32.to_be_bytes());
    out.push(b'N');
    out.extend_from_slice(&9u16.to_be_bytes());
    for value in values {
        out.push(b't');
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'C');
    out.push(0);
    out.extend_from_slice(&lsn.to_be_bytes());
    lsn += 48;
    out.extend_from_slice(&lsn.to_be_bytes());
    out.extend_from_slice(&time.to_be_bytes());
    out
}

fn blocks(runs: &[Vec<u8>], bytes: usize) -> Vec<Vec<u8>> {
    let mut blocks = vec![Vec::new()];
    for run in runs {
        if blocks
            .last()
            .is_some_and(|block: &Vec<u8>| block.len() >= bytes)
        {
            blocks.push(Vec::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.extend_from_slice(run);
        }
    }
    blocks
}

type Codec = (
    &'static str,
    fn(&[u8]) -> Vec<u8>,
    fn(&[u8], usize) -> Vec<u8>,
);

const CODECS: [Codec; 3] = [
    ("lz4", lz4_flex::block::compress, |bytes, len| {
        lz4_flex::block::decompress(bytes, len).expect("lz4")
    }),
    (
        "zstd -1",
        |bytes| zstd::bulk::compress(bytes, 1).expect("zstd"),
        |bytes, len| zstd::bulk::decompress(bytes, len).expect("zstd"),
    ),
    (
        "zstd -3",
        |bytes| zstd::bulk::compress(bytes, 3).expect("zstd"),
        |bytes, len| zstd::bulk::decompress(bytes, len).expect("zstd"),
    ),
];

fn main() {
    let mut random = Rng::with_seed(1);
    let runs: Vec<_> = (0..ROWS).map(|number| run(&mut random, number)).collect();
    let raw: usize = runs.iter().map(Vec::len).sum();
    println!("plain: {} bytes/change", raw / ROWS);
    for size in [1, 64 << 10, 256 << 10, 1 << 20] {
        let blocks = blocks(&runs, size);
        for (name, compress, decompress) in CODECS {
            let start = Instant::now();
            let packed: Vec<_> = blocks.iter().map(|block| compress(block)).collect();
            let packing = start.elapsed().as_secs_f64();
            let bytes: usize = packed.iter().map(Vec::len).sum();
            let start = Instant::now();
            for (block, packed) in blocks.iter().zip(&packed) {
                assert_eq!(decompress(packed, block.len()).len(), block.len());
            }
            let reading = start.elapsed().as_secs_f64();
            let million = 1e6 / ROWS as f64;
            println!(
                "{name:8} in blocks of {:>4} KiB: {:>4} bytes/change, 1/{:.1}; {:.2} CPU-s a million to write, {:.2} to read ({:.0} MB/s)",
                size >> 10,
                bytes / ROWS,
                raw as f64 / bytes as f64,
                packing * million,
                reading * million,
                raw as f64 / reading / 1e6,
            );
        }
    }
}
