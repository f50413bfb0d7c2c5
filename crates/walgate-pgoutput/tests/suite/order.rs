//! Which message may come after which.

use walgate_pgoutput::{
    Column, ColumnsBuf, Lsn, Message, OldTuple, OrderChecker, OrderError, PgMicros, RelationBody,
    RelationOidsBuf, ReplicaIdentity, Tag, TupleBuf, Value, Xid,
};

const TIME: PgMicros = PgMicros(0);
const ORDERS: u32 = 0x4005;

/// A checker and short forms for what is sent to it.
#[derive(Default)]
struct Session {
    order: OrderChecker,
    xid: Option<Xid>,
}

type Checked = Result<(), OrderError>;

impl Session {
    fn send(&mut self, message: &Message<'_>) -> Checked {
        let before = format!(
            "{:?}",
            (self.order.in_stream(), self.order.in_transaction())
        );
        let checked = self.order.check(message);
        if checked.is_err() {
            let after = format!(
                "{:?}",
                (self.order.in_stream(), self.order.in_transaction())
            );
            assert_eq!(before, after, "a refused message changed the state");
        }
        checked
    }

    fn begin(&mut self, final_lsn: u64) -> Checked {
        self.send(&Message::Begin {
            final_lsn: Lsn(final_lsn),
            commit_time: TIME,
            xid: 1,
        })
    }

    fn commit(&mut self, lsn: u64) -> Checked {
        let (commit_lsn, end_lsn) = (Lsn(lsn), Lsn(lsn + 8));
        self.send(&Message::Commit {
            flags: 0,
            commit_lsn,
            end_lsn,
            commit_time: TIME,
        })
    }

    fn relation(&mut self, oid: u32, columns: usize) -> Checked {
        let mut list = ColumnsBuf::new();
        for _ in 0..columns {
            let column = Column {
                key: true,
                name: "c",
                type_oid: 23,
                typmod: -1,
            };
            list.push(column).expect("few columns");
        }
        self.send(&Message::Relation(RelationBody {
            xid: self.xid,
            oid,
            namespace: "public",
            name: "orders",
            identity: ReplicaIdentity::Default,
            columns: list.as_columns(),
        }))
    }

    fn insert(&mut self, relation: u32, values: usize) -> Checked {
        let new = tuple(values);
        self.send(&Message::Insert {
            xid: self.xid,
            relation,
            new: new.as_tuple(),
        })
    }

    fn update(&mut self, old: usize, new: usize) -> Checked {
        let (old, new) = (tuple(old), tuple(new));
        let old = Some(OldTuple::Full(old.as_tuple()));
        let new = new.as_tuple();
        self.send(&Message::Update {
            xid: self.xid,
            relation: ORDERS,
            old,
            new,
        })
    }

    fn delete(&mut self, old: usize) -> Checked {
        let old = tuple(old);
        let old = OldTuple::Key(old.as_tuple());
        self.send(&Message::Delete {
            xid: self.xid,
            relation: ORDERS,
            old,
        })
    }

    fn truncate(&mut self, relations: &[u32]) -> Checked {
        let relations: RelationOidsBuf = relations.iter().copied().collect();
        self.send(&Message::Truncate {
            xid: self.xid,
            cascade: false,
            restart_identity: false,
            relations: relations.as_relations(),
        })
    }

    fn message(&mut self, transactional: bool, lsn: u64) -> Checked {
        let (lsn, prefix, content) = (Lsn(lsn), "", &b""[..]);
        self.send(&Message::Message {
            xid: self.xid,
            transactional,
            lsn,
            prefix,
            content,
        })
    }

    fn stream_start(&mut self, xid: Xid, first_segment: bool) -> Checked {
        self.send(&Message::StreamStart { xid, first_segment })?;
        self.xid = Some(xid);
        Ok(())
    }

    fn stream_stop(&mut self) -> Checked {
        self.send(&Message::StreamStop)?;
        self.xid = None;
        Ok(())
    }

    fn stream_commit(&mut self, xid: Xid, lsn: u64) -> Checked {
        let (commit_lsn, end_lsn) = (Lsn(lsn), Lsn(lsn + 8));
        self.send(&Message::StreamCommit {
            xid,
            flags: 0,
            commit_lsn,
            end_lsn,
            commit_time: TIME,
        })
    }

    fn stream_abort(&mut self, xid: Xid, subxid: Xid) -> Checked {
        self.send(&Message::StreamAbort {
            xid,
            subxid,
            abort: None,
        })
    }

    fn begin_prepare(&mut self, lsn: u64) -> Checked {
        let (prepare_lsn, end_lsn, gid) = (Lsn(lsn), Lsn(lsn + 8), "g");
        self.send(&Message::BeginPrepare {
            prepare_lsn,
            end_lsn,
            prepare_time: TIME,
            xid: 1,
            gid,
        })
    }

    fn prepare(&mut self, lsn: u64, xid: Xid) -> Checked {
        let (prepare_lsn, end_lsn, gid, prepare_time) = (Lsn(lsn), Lsn(lsn + 8), "g", TIME);
        self.send(&Message::Prepare {
            flags: 0,
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        })
    }

    fn commit_prepared(&mut self, lsn: u64) -> Checked {
        let (commit_lsn, end_lsn, commit_time) = (Lsn(lsn), Lsn(lsn + 8), TIME);
        let (flags, xid, gid) = (0, 1, "g");
        self.send(&Message::CommitPrepared {
            flags,
            commit_lsn,
            end_lsn,
            commit_time,
            xid,
            gid,
        })
    }

    fn stream_prepare(&mut self, xid: Xid) -> Checked {
        let (prepare_lsn, end_lsn, prepare_time) = (Lsn(1), Lsn(2), TIME);
        let (flags, gid) = (0, "g");
        self.send(&Message::StreamPrepare {
            flags,
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        })
    }

    fn rollback_prepared(&mut self) -> Checked {
        self.send(&Message::RollbackPrepared {
            flags: 0,
            prepare_end_lsn: Lsn(0),
            rollback_end_lsn: Lsn(9),
            prepare_time: TIME,
            rollback_time: TIME,
            xid: 1,
            gid: "unknown",
        })
    }
}

fn tuple(values: usize) -> TupleBuf {
    let mut tuple = TupleBuf::new();
    for _ in 0..values {
        tuple.push(Value::Text(b"1")).expect("few values");
    }
    tuple
}

/// A session inside a transaction that has announced `ORDERS` with two columns.
fn in_transaction() -> Session {
    let mut session = Session::default();
    session.begin(10).expect("begin");
    session.relation(ORDERS, 2).expect("relation");
    session
}

#[test]
fn a_transaction_of_every_change() {
    let mut session = in_transaction();
    assert!(session.order.in_transaction() && !session.order.in_stream());
    assert_eq!(
        session.send(&Message::Origin {
            lsn: Lsn(0),
            name: "o"
        }),
        Ok(())
    );
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    assert_eq!(session.update(2, 2), Ok(()));
    assert_eq!(session.delete(2), Ok(()));
    assert_eq!(session.truncate(&[ORDERS]), Ok(()));
    assert_eq!(session.message(true, 5), Ok(()));
    assert_eq!(session.commit(10), Ok(()));
    assert!(!session.order.in_transaction());
}

#[test]
fn changes_outside_a_transaction() {
    let mut session = in_transaction();
    session.commit(10).expect("commit");
    let outside = |tag| Err(OrderError::OutsideTransaction { tag });
    assert_eq!(session.insert(ORDERS, 2), outside(Tag::Insert));
    assert_eq!(session.update(2, 2), outside(Tag::Update));
    assert_eq!(session.delete(2), outside(Tag::Delete));
    assert_eq!(session.truncate(&[ORDERS]), outside(Tag::Truncate));
    assert_eq!(session.message(true, 20), outside(Tag::Message));
    let origin = Message::Origin {
        lsn: Lsn(1),
        name: "o",
    };
    assert_eq!(session.send(&origin), outside(Tag::Origin));
}

#[test]
fn commit_without_begin() {
    let refused = Err(OrderError::OutsideTransaction { tag: Tag::Commit });
    assert_eq!(Session::default().commit(10), refused);
}

#[test]
fn begin_in_begin() {
    let refused = Err(OrderError::InsideTransaction { tag: Tag::Begin });
    assert_eq!(in_transaction().begin(20), refused);
    let refused = Err(OrderError::InsideTransaction {
        tag: Tag::BeginPrepare,
    });
    assert_eq!(in_transaction().begin_prepare(20), refused);
}

#[test]
fn begin_and_commit_at_different_positions() {
    let refused = OrderError::EndDiffers {
        tag: Tag::Commit,
        expected: Lsn(10),
        found: Lsn(11),
    };
    assert_eq!(in_transaction().commit(11), Err(refused));
    assert_eq!(
        refused.to_string(),
        "commit at 0/B of a transaction that began as 0/A"
    );
}

#[test]
fn a_commit_that_ends_before_it_starts() {
    let (commit_lsn, end_lsn) = (Lsn(10), Lsn(10));
    let commit = Message::Commit {
        flags: 0,
        commit_lsn,
        end_lsn,
        commit_time: TIME,
    };
    let refused = OrderError::EndBeforeCommit {
        tag: Tag::Commit,
        commit_lsn,
        end_lsn,
    };
    assert_eq!(in_transaction().send(&commit), Err(refused));
}

#[test]
fn commits_that_go_back() {
    let mut session = in_transaction();
    session.commit(10).expect("commit");
    for found in [0, 9, 10] {
        let (last, found_lsn) = (Lsn(10), Lsn(found));
        let refused = OrderError::LsnGoesBack {
            tag: Tag::Begin,
            last,
            found: found_lsn,
        };
        assert_eq!(session.begin(found), Err(refused));
    }
    assert_eq!(session.begin(11), Ok(()));
    let refused = OrderError::LsnGoesBack {
        tag: Tag::Begin,
        last: Lsn(0),
        found: Lsn(0),
    };
    assert_eq!(Session::default().begin(0), Err(refused));
}

#[test]
fn messages_that_stand_by_themselves() {
    let mut session = Session::default();
    assert_eq!(session.message(false, 10), Ok(()));
    // The position of a message may be that of the commit behind it.
    assert_eq!(session.begin(10), Ok(()));
    let refused = Err(OrderError::InsideTransaction { tag: Tag::Message });
    assert_eq!(session.message(false, 11), refused);
    assert_eq!(session.commit(10), Ok(()));
    let refused = OrderError::LsnGoesBack {
        tag: Tag::Message,
        last: Lsn(10),
        found: Lsn(9),
    };
    assert_eq!(session.message(false, 9), Err(refused));
    assert_eq!(session.message(false, 30), Ok(()));
    let refused = OrderError::LsnGoesBack {
        tag: Tag::Begin,
        last: Lsn(30),
        found: Lsn(29),
    };
    assert_eq!(session.begin(29), Err(refused));
}

#[test]
fn relations_that_were_not_announced() {
    let mut session = in_transaction();
    let unknown = |tag, relation| Err(OrderError::UnknownRelation { tag, relation });
    assert_eq!(session.insert(7, 2), unknown(Tag::Insert, 7));
    assert_eq!(session.truncate(&[ORDERS, 7]), unknown(Tag::Truncate, 7));
}

#[test]
fn tuples_with_another_number_of_values() {
    let mut session = in_transaction();
    let wrong = |tag, found| {
        Err(OrderError::ColumnCount {
            tag,
            relation: ORDERS,
            expected: 2,
            found,
        })
    };
    assert_eq!(session.insert(ORDERS, 1), wrong(Tag::Insert, 1));
    assert_eq!(session.insert(ORDERS, 3), wrong(Tag::Insert, 3));
    assert_eq!(session.update(2, 1), wrong(Tag::Update, 1));
    assert_eq!(session.update(3, 2), wrong(Tag::Update, 3));
    assert_eq!(session.delete(0), wrong(Tag::Delete, 0));
}

#[test]
fn a_relation_announced_again_replaces_the_first() {
    let mut session = in_transaction();
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    assert_eq!(session.relation(ORDERS, 3), Ok(()));
    assert_eq!(session.insert(ORDERS, 3), Ok(()));
    assert!(session.insert(ORDERS, 2).is_err());
    assert_eq!(session.relation(7, 0), Ok(()));
    assert_eq!(session.insert(7, 0), Ok(()));
    assert_eq!(session.insert(ORDERS, 3), Ok(()));
}

#[test]
fn relations_stay_known_across_transactions_and_not_across_connections() {
    let mut session = in_transaction();
    session.commit(10).expect("commit");
    session.begin(20).expect("begin");
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    session.order.reset();
    assert!(!session.order.in_transaction());
    session.begin(10).expect("the same transaction again");
    let refused = OrderError::UnknownRelation {
        tag: Tag::Insert,
        relation: ORDERS,
    };
    assert_eq!(session.insert(ORDERS, 2), Err(refused));
}

#[test]
fn a_streamed_transaction_in_two_blocks() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("first block");
    assert!(session.order.in_stream() && !session.order.in_transaction());
    session.relation(ORDERS, 2).expect("relation");
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    assert_eq!(session.message(true, 3), Ok(()));
    session.stream_stop().expect("end of block");
    session.stream_start(5, false).expect("second block");
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    session.stream_stop().expect("end of block");
    assert_eq!(session.stream_commit(5, 10), Ok(()));
    // What it announced holds for everybody once it has committed.
    session.begin(20).expect("begin");
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
}

#[test]
fn a_row_of_a_sub_transaction_has_another_prefix() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    session.relation(ORDERS, 2).expect("relation");
    session.xid = Some(6);
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    assert_eq!(session.relation(7, 1), Ok(()));
    session.stream_stop().expect("stop");
    session.stream_start(5, false).expect("block");
    assert_eq!(session.insert(7, 1), Ok(()));
}

#[test]
fn prefixes_that_do_not_fit_the_place() {
    let refused = |tag| Err(OrderError::TransactionPrefix { tag });
    let mut session = in_transaction();
    session.xid = Some(5);
    assert_eq!(session.insert(ORDERS, 2), refused(Tag::Insert));
    assert_eq!(session.relation(ORDERS, 2), refused(Tag::Relation));
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    session.xid = None;
    assert_eq!(session.insert(ORDERS, 2), refused(Tag::Insert));
    assert_eq!(session.message(true, 1), refused(Tag::Message));
    let typ = Message::Type {
        xid: None,
        oid: 1,
        namespace: "",
        name: "",
    };
    assert_eq!(session.send(&typ), refused(Tag::Type));
}

#[test]
fn stream_start_in_a_stream_or_a_transaction() {
    let refused = Err(OrderError::InsideTransaction {
        tag: Tag::StreamStart,
    });
    assert_eq!(in_transaction().stream_start(5, true), refused);
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    assert_eq!(session.stream_start(6, true), refused);
    assert_eq!(session.stream_start(5, false), refused);
}

#[test]
fn begin_and_messages_that_stand_alone_inside_a_stream() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    let refused = |tag| Err(OrderError::InsideTransaction { tag });
    assert_eq!(session.begin(10), refused(Tag::Begin));
    assert_eq!(session.message(false, 10), refused(Tag::Message));
    assert_eq!(
        session.commit(10),
        Err(OrderError::WrongEnd { tag: Tag::Commit })
    );
}

#[test]
fn stream_stop_without_start() {
    assert_eq!(Session::default().stream_stop(), Err(OrderError::NoStream));
    assert_eq!(in_transaction().stream_stop(), Err(OrderError::NoStream));
}

#[test]
fn a_stream_that_ends_while_its_block_is_open() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    let refused = |tag| Err(OrderError::InsideTransaction { tag });
    assert_eq!(session.stream_commit(5, 10), refused(Tag::StreamCommit));
    assert_eq!(session.stream_abort(5, 5), refused(Tag::StreamAbort));
    assert_eq!(session.stream_prepare(5), refused(Tag::StreamPrepare));
}

#[test]
fn ends_of_streams_that_never_started() {
    let unknown = |tag| Err(OrderError::UnknownStream { tag, xid: 5 });
    let mut session = Session::default();
    assert_eq!(session.stream_commit(5, 10), unknown(Tag::StreamCommit));
    assert_eq!(session.stream_abort(5, 6), unknown(Tag::StreamAbort));
    assert_eq!(session.stream_prepare(5), unknown(Tag::StreamPrepare));
}

#[test]
fn first_segment_flags_that_lie() {
    let mut session = Session::default();
    let unknown = OrderError::UnknownStream {
        tag: Tag::StreamStart,
        xid: 5,
    };
    assert_eq!(session.stream_start(5, false), Err(unknown));
    session.stream_start(5, true).expect("block");
    session.stream_stop().expect("stop");
    let twice = OrderError::StreamStartedTwice { xid: 5 };
    assert_eq!(session.stream_start(5, true), Err(twice));
    // Over means over: the number may be used again.
    session.stream_abort(5, 5).expect("abort");
    assert_eq!(session.stream_start(5, false), Err(unknown));
    assert_eq!(session.stream_start(5, true), Ok(()));
}

#[test]
fn aborts_of_sub_transactions_that_were_never_seen() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    session.stream_stop().expect("stop");
    assert_eq!(session.stream_abort(5, 77), Ok(()));
    assert_eq!(session.stream_commit(5, 10), Ok(()));
}

#[test]
fn interleaved_streams_know_their_own_relations() {
    let mut session = in_transaction();
    session.commit(10).expect("commit");
    session.stream_start(5, true).expect("block of 5");
    session
        .relation(ORDERS, 3)
        .expect("its own form of the table");
    assert_eq!(session.insert(ORDERS, 3), Ok(()));
    session.stream_stop().expect("stop");
    session.stream_start(6, true).expect("block of 6");
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    session.stream_stop().expect("stop");
    session.begin(20).expect("begin");
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
    assert!(session.insert(ORDERS, 3).is_err());
    session.commit(20).expect("commit");
    session.stream_abort(6, 6).expect("abort");
    session.stream_commit(5, 30).expect("commit");
    session.begin(40).expect("begin");
    assert_eq!(session.insert(ORDERS, 3), Ok(()));
}

#[test]
fn a_stream_commit_overwrites_no_newer_relation() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("block of 5");
    session.relation(ORDERS, 3).expect("as it was then");
    session.insert(ORDERS, 3).expect("a row");
    session.stream_stop().expect("stop");
    session.begin(10).expect("begin");
    session
        .relation(ORDERS, 2)
        .expect("the publication has a column list now");
    session.commit(10).expect("commit");
    session.stream_commit(5, 20).expect("commit");
    session.begin(30).expect("begin");
    assert_eq!(session.insert(ORDERS, 2), Ok(()));
}

#[test]
fn a_stream_commit_that_goes_back() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    session.stream_stop().expect("stop");
    session.begin(10).expect("begin");
    session.commit(10).expect("commit");
    let refused = OrderError::LsnGoesBack {
        tag: Tag::StreamCommit,
        last: Lsn(10),
        found: Lsn(10),
    };
    assert_eq!(session.stream_commit(5, 10), Err(refused));
    assert_eq!(session.stream_commit(5, 11), Ok(()));
}

#[test]
fn a_prepared_transaction() {
    let mut session = Session::default();
    session.begin_prepare(10).expect("begin prepare");
    assert!(session.order.in_transaction());
    session.relation(ORDERS, 1).expect("relation");
    assert_eq!(session.insert(ORDERS, 1), Ok(()));
    assert_eq!(
        session.commit(10),
        Err(OrderError::WrongEnd { tag: Tag::Commit })
    );
    assert_eq!(
        session.prepare(10, 2),
        Err(OrderError::WrongEnd { tag: Tag::Prepare })
    );
    let refused = OrderError::EndDiffers {
        tag: Tag::Prepare,
        expected: Lsn(10),
        found: Lsn(9),
    };
    assert_eq!(session.prepare(9, 1), Err(refused));
    let (flags, xid, gid, prepare_time) = (0, 1, "g", TIME);
    let (prepare_lsn, end_lsn) = (Lsn(10), Lsn(11));
    let other_end = Message::Prepare {
        flags,
        prepare_lsn,
        end_lsn,
        prepare_time,
        xid,
        gid,
    };
    let refused = OrderError::EndDiffers {
        tag: Tag::Prepare,
        expected: Lsn(18),
        found: Lsn(11),
    };
    assert_eq!(session.send(&other_end), Err(refused));
    assert_eq!(session.prepare(10, 1), Ok(()));
    assert_eq!(session.commit_prepared(30), Ok(()));
    assert!(session.commit_prepared(30).is_err(), "commits go forward");
}

#[test]
fn prepare_without_begin_prepare() {
    let refused = Err(OrderError::OutsideTransaction { tag: Tag::Prepare });
    assert_eq!(Session::default().prepare(10, 1), refused);
    let refused = Err(OrderError::WrongEnd { tag: Tag::Prepare });
    assert_eq!(in_transaction().prepare(10, 1), refused);
}

#[test]
fn prepared_transactions_of_an_earlier_connection() {
    let mut session = Session::default();
    assert_eq!(session.commit_prepared(10), Ok(()));
    assert_eq!(session.rollback_prepared(), Ok(()));
    let refused = |tag| Err(OrderError::InsideTransaction { tag });
    session.begin(20).expect("begin");
    assert_eq!(session.commit_prepared(30), refused(Tag::CommitPrepared));
    assert_eq!(session.rollback_prepared(), refused(Tag::RollbackPrepared));
}

#[test]
fn a_transaction_that_was_prepared_long_ago_is_sent_when_it_commits() {
    let mut session = in_transaction();
    session.commit(10).expect("commit");
    assert_eq!(session.begin_prepare(3), Ok(()));
    assert_eq!(session.prepare(3, 1), Ok(()));
    assert_eq!(session.commit_prepared(20), Ok(()));
}

#[test]
fn a_streamed_transaction_that_is_prepared() {
    let mut session = Session::default();
    session.stream_start(5, true).expect("block");
    session.relation(ORDERS, 1).expect("relation");
    session.stream_stop().expect("stop");
    assert_eq!(session.stream_prepare(5), Ok(()));
    // Its relations are announced again to whoever follows, and it is no stream any more.
    let unknown = OrderError::UnknownStream {
        tag: Tag::StreamCommit,
        xid: 5,
    };
    assert_eq!(session.stream_commit(5, 10), Err(unknown));
    session.begin(10).expect("begin");
    assert!(session.insert(ORDERS, 1).is_err());
}

#[test]
fn more_streams_than_a_server_can_run() {
    let mut session = Session::default();
    for xid in 0..262_143 {
        session
            .stream_start(xid, true)
            .expect("a transaction for each backend");
        session.stream_stop().expect("stop");
    }
    assert_eq!(
        session.stream_start(262_143, true),
        Err(OrderError::TooManyStreams)
    );
}
