//! A connection full of messages: the checker lets nothing pass that breaks what those behind it
//! rely on. The input is a capture: a byte for the dialect, then messages behind 32-bit lengths.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use walgate_pgoutput::{Dialect, Lsn, Message, OrderChecker, ProtocolVersion, Streaming, decode};

/// What someone who trusts the checker believes.
#[derive(Default)]
struct Model {
    /// The begin of the open transaction.
    open: Option<Lsn>,
    prepared: bool,
    stream: Option<u32>,
    streams: BTreeSet<u32>,
    /// Every column count that a relation was ever announced with.
    announced: BTreeMap<u32, BTreeSet<usize>>,
    last_commit: Lsn,
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, mut rest)) = data.split_first() else {
        return;
    };
    let dialect = match choice {
        0x21 => Dialect {
            version: ProtocolVersion::V2,
            streaming: Streaming::On,
        },
        0x31 => Dialect {
            version: ProtocolVersion::V3,
            streaming: Streaming::On,
        },
        0x41 => Dialect {
            version: ProtocolVersion::V4,
            streaming: Streaming::On,
        },
        0x42 => Dialect {
            version: ProtocolVersion::V4,
            streaming: Streaming::Parallel,
        },
        _ => Dialect::default(),
    };
    let mut order = OrderChecker::new();
    let mut model = Model::default();
    while let Some((len, behind)) = rest.split_first_chunk() {
        let len = (u32::from_be_bytes(*len) as usize).min(behind.len());
        let (bytes, behind) = behind.split_at(len);
        rest = behind;
        let Ok(message) = decode(bytes, dialect, order.in_stream()) else {
            continue;
        };
        let before = (order.in_stream(), order.in_transaction());
        match order.check(&message) {
            Ok(()) => model.take(&message),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!((order.in_stream(), order.in_transaction()), before);
            }
        }
        assert_eq!(order.in_stream(), model.stream.is_some());
        assert_eq!(order.in_transaction(), model.open.is_some());
    }
    order.reset();
    assert!(!order.in_stream() && !order.in_transaction());
});

impl Model {
    fn outside(&self) {
        assert!(self.open.is_none() && self.stream.is_none());
    }

    fn change(&self, xid: Option<u32>) {
        assert!(
            self.open.is_some() != self.stream.is_some(),
            "a change in no transaction"
        );
        assert_eq!(xid.is_some(), self.stream.is_some());
    }

    fn row(&self, xid: Option<u32>, relation: u32, values: usize) {
        self.change(xid);
        assert!(self.announced[&relation].contains(&values));
    }

    fn commit(&mut self, lsn: Lsn) {
        assert!(lsn > self.last_commit, "commits go forward");
        self.last_commit = lsn;
    }

    fn take(&mut self, message: &Message<'_>) {
        match *message {
            Message::Begin { final_lsn, .. } => {
                self.outside();
                (self.open, self.prepared) = (Some(final_lsn), false);
            }
            Message::BeginPrepare { prepare_lsn, .. } => {
                self.outside();
                (self.open, self.prepared) = (Some(prepare_lsn), true);
            }
            Message::Commit {
                commit_lsn,
                end_lsn,
                ..
            } => {
                assert_eq!((self.open.take(), self.prepared), (Some(commit_lsn), false));
                assert!(end_lsn > commit_lsn);
                self.commit(commit_lsn);
            }
            Message::Prepare { prepare_lsn, .. } => {
                assert_eq!((self.open.take(), self.prepared), (Some(prepare_lsn), true));
            }
            Message::Origin { .. } => assert!(self.open.is_some() || self.stream.is_some()),
            Message::Relation(relation) => {
                assert_eq!(relation.xid.is_some(), self.stream.is_some());
                let counts = self.announced.entry(relation.oid).or_default();
                counts.insert(relation.columns.len());
            }
            Message::Type { xid, .. } => assert_eq!(xid.is_some(), self.stream.is_some()),
            Message::Insert { xid, relation, new } => self.row(xid, relation, new.len()),
            Message::Update {
                xid,
                relation,
                old,
                new,
            } => {
                self.row(xid, relation, new.len());
                assert!(old.is_none_or(|old| old.tuple().len() == new.len()));
            }
            Message::Delete { xid, relation, old } => self.row(xid, relation, old.tuple().len()),
            Message::Truncate { xid, relations, .. } => {
                self.change(xid);
                assert!(
                    relations
                        .into_iter()
                        .all(|oid| self.announced.contains_key(&oid))
                );
            }
            Message::Message {
                xid,
                transactional: true,
                ..
            } => self.change(xid),
            Message::Message { lsn, .. } => {
                self.outside();
                assert!(lsn >= self.last_commit);
            }
            Message::StreamStart { xid, first_segment } => {
                self.outside();
                assert_eq!(self.streams.insert(xid), first_segment);
                self.stream = Some(xid);
            }
            Message::StreamStop => assert!(self.stream.take().is_some()),
            Message::StreamCommit {
                xid, commit_lsn, ..
            } => {
                self.outside();
                assert!(self.streams.remove(&xid));
                self.commit(commit_lsn);
            }
            Message::StreamAbort { xid, subxid, .. } => {
                self.outside();
                assert!(self.streams.contains(&xid));
                if xid == subxid {
                    self.streams.remove(&xid);
                }
            }
            Message::StreamPrepare { xid, .. } => {
                self.outside();
                assert!(self.streams.remove(&xid));
            }
            Message::CommitPrepared { commit_lsn, .. } => {
                self.outside();
                self.commit(commit_lsn);
            }
            Message::RollbackPrepared { .. } => self.outside(),
        }
    }
}
