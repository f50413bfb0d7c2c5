//! Reads a capture: what a real server sent, as `tests/fuzz/capture.sh` wrote it down.

use std::path::{Path, PathBuf};

use walgate_pgoutput::{Dialect, ProtocolVersion, Streaming};

pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) messages: Vec<Vec<u8>>,
}

pub(crate) fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of captures")
        .map(|entry| entry.expect("an entry of the folder of captures").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no captures in {}", folder.display());
    paths.iter().map(|path| read(path)).collect()
}

/// One byte for the dialect, then each message behind its 32-bit length.
fn read(path: &Path) -> Capture {
    let bytes = std::fs::read(path).expect("a readable capture");
    let (dialect, mut rest) = bytes.split_first().expect("a dialect");
    let version = match dialect >> 4 {
        1 => ProtocolVersion::V1,
        2 => ProtocolVersion::V2,
        3 => ProtocolVersion::V3,
        4 => ProtocolVersion::V4,
        other => panic!("version {other} in {}", path.display()),
    };
    let streaming = match dialect & 15 {
        0 => Streaming::Off,
        1 => Streaming::On,
        2 => Streaming::Parallel,
        other => panic!("streaming mode {other} in {}", path.display()),
    };
    let mut messages = Vec::new();
    while let Some((len, behind)) = rest.split_first_chunk() {
        let len = usize::try_from(u32::from_be_bytes(*len)).expect("a length");
        let (message, behind) = behind.split_at(len);
        messages.push(message.to_vec());
        rest = behind;
    }
    assert!(rest.is_empty(), "{} is cut", path.display());
    let name = path
        .file_name()
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    Capture {
        name,
        dialect: Dialect { version, streaming },
        messages,
    }
}
