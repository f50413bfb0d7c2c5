//! Bytes that no server sends: each is refused, at the field and offset that are wrong.

use walgate_pgoutput::DecodeErrorKind::{
    CountTooLarge, Empty, MissingNul, NegativeLength, NotInDialect, NotUtf8, Trailing, Truncated,
    UnknownFlags, UnknownKind, UnknownTag, Zero,
};
use walgate_pgoutput::{MessageKind, Tag, decode};

use crate::hex::{V1, error, error_of, fault, hex};

#[test]
fn an_empty_payload() {
    assert_eq!(fault(""), ("tag", 0, Empty));
    assert_eq!(error(V1, "").message, MessageKind::Unknown);
}

#[test]
fn unknown_tags() {
    for tag in [0x00, 0x80, 0xff, b'i', b'u', b'd', b'R' + 0x20 + 1] {
        assert_eq!(error_of(V1, false, &[tag, 0]).kind, UnknownTag { tag });
    }
    for tag in 0..=255_u8 {
        let known = Tag::from_byte(tag).is_some();
        let refused =
            decode(&[tag], V1, false).is_err_and(|error| error.kind == UnknownTag { tag });
        assert_eq!(known, !refused, "{tag:#x}");
    }
}

#[test]
fn the_error_names_message_field_and_offset() {
    let error = error(V1, "'I' 00004005 'N' 0001 't' ffffffff");
    assert_eq!(error.message, MessageKind::Message(Tag::Insert));
    assert_eq!(error.tag(), Some(Tag::Insert));
    assert_eq!(
        error.to_string(),
        "malformed insert message: column value at offset 9: negative length -1"
    );
}

#[test]
fn strings_without_nul() {
    assert_eq!(
        fault("'O' 0000000000000001 'elsewhere'"),
        ("name", 9, MissingNul)
    );
    assert_eq!(
        fault("'R' 00004005 'public' 00 'orders'"),
        ("name", 12, MissingNul)
    );
    assert_eq!(fault("'Y' 00004010 'public'"), ("namespace", 5, MissingNul));
}

#[test]
fn names_that_are_not_utf8() {
    assert_eq!(
        fault("'Y' 00004010 ff 00 'mood' 00"),
        ("namespace", 5, NotUtf8)
    );
    assert_eq!(
        fault("'R' 00004005 00 'caf' c3 00 'd' 0000"),
        ("name", 6, NotUtf8)
    );
    let column = "'R' 00004005 00 't' 00 'd' 0001 00 ed a0 80 00 00000017 ffffffff";
    assert_eq!(fault(column), ("column name", 12, NotUtf8));
    let text = error(V1, "'O' 0000000000000001 ff 00").to_string();
    assert!(
        text.contains("not valid utf-8") && text.contains("SQL_ASCII"),
        "{text}"
    );
}

#[test]
fn relation_with_more_columns_than_bytes() {
    let kind = CountTooLarge { count: 3, max: 1 };
    let text = "'R' 00004005 00 't' 00 'd' 0003 00 'a' 00 00000017 ffffffff";
    assert_eq!(fault(text), ("column count", 9, kind));
    let kind = CountTooLarge {
        count: 65535,
        max: 0,
    };
    assert_eq!(
        fault("'R' 00004005 00 't' 00 'd' ffff"),
        ("column count", 9, kind)
    );
}

#[test]
fn relation_with_more_columns_than_any_table() {
    let mut bytes = hex("'R' 00004005 00 't' 00 'd' 0641");
    for _ in 0..1601 {
        bytes.extend(hex("00 'a' 00 00000017 ffffffff"));
    }
    let kind = CountTooLarge {
        count: 1601,
        max: 1600,
    };
    assert_eq!(error_of(V1, false, &bytes).kind, kind);
}

#[test]
fn relation_with_an_unknown_identity() {
    let kind = UnknownKind { kind: b'x' };
    assert_eq!(
        fault("'R' 00004005 00 't' 00 'x' 0000"),
        ("replica identity", 8, kind)
    );
}

#[test]
fn relation_with_unknown_column_flags() {
    let text = "'R' 00004005 00 't' 00 'd' 0001 02 'a' 00 00000017 ffffffff";
    assert_eq!(fault(text), ("column flags", 11, UnknownFlags { flags: 2 }));
}

#[test]
fn relation_and_type_with_oid_zero() {
    assert_eq!(fault("'R' 00000000 00 't' 00 'd' 0000"), ("oid", 1, Zero));
    assert_eq!(fault("'Y' 00000000 00 't' 00"), ("oid", 1, Zero));
}

#[test]
fn tuple_with_more_values_than_bytes() {
    let kind = CountTooLarge { count: 3, max: 2 };
    assert_eq!(
        fault("'I' 00004005 'N' 0003 'n' 'n'"),
        ("column count", 6, kind)
    );
    let kind = CountTooLarge {
        count: 65535,
        max: 0,
    };
    assert_eq!(fault("'I' 00004005 'N' ffff"), ("column count", 6, kind));
}

#[test]
fn tuple_with_more_values_than_any_table() {
    let mut bytes = hex("'I' 00004005 'N' 0641");
    bytes.resize(bytes.len() + 1601, b'n');
    let kind = CountTooLarge {
        count: 1601,
        max: 1600,
    };
    assert_eq!(error_of(V1, false, &bytes).kind, kind);
}

#[test]
fn tuple_with_fewer_values_than_counted() {
    assert_eq!(
        fault("'I' 00004005 'N' 0001 'n' 'n'"),
        ("end", 9, Trailing { left: 1 })
    );
}

#[test]
fn tuple_with_an_unknown_kind() {
    for kind in [0, b'T', b'N', b'x', 0xff] {
        let text = format!("'I' 00004005 'N' 0002 'n' {kind:02x}");
        assert_eq!(fault(&text), ("column kind", 9, UnknownKind { kind }));
    }
}

#[test]
fn tuple_with_negative_lengths() {
    for (digits, length) in [("ffffffff", -1), ("80000000", i32::MIN)] {
        for kind in ["'t'", "'b'"] {
            let text = format!("'I' 00004005 'N' 0001 {kind} {digits}");
            assert_eq!(fault(&text), ("column value", 9, NegativeLength { length }));
        }
    }
}

#[test]
fn tuple_with_lengths_beyond_the_message() {
    let kind = Truncated {
        needed: 0x7fff_ffff,
        left: 3,
    };
    assert_eq!(
        fault("'I' 00004005 'N' 0001 't' 7fffffff 'abc'"),
        ("column value", 13, kind)
    );
    let kind = Truncated { needed: 4, left: 3 };
    assert_eq!(
        fault("'I' 00004005 'N' 0001 'b' 00000004 'abc'"),
        ("column value", 13, kind)
    );
}

#[test]
fn insert_with_an_old_tuple() {
    for kind in [b'K', b'O', 0] {
        let text = format!("'I' 00004005 {kind:02x} 0001 'n'");
        assert_eq!(fault(&text), ("tuple kind", 5, UnknownKind { kind }));
    }
}

#[test]
fn update_with_an_unknown_tuple_kind() {
    let kind = UnknownKind { kind: b'X' };
    assert_eq!(fault("'U' 00004005 'X' 0001 'n'"), ("tuple kind", 5, kind));
}

#[test]
fn update_with_two_old_tuples() {
    for kind in [b'K', b'O'] {
        let text = format!("'U' 00004005 'K' 0001 'n' {kind:02x} 0001 'n'");
        assert_eq!(fault(&text), ("tuple kind", 9, UnknownKind { kind }));
    }
}

#[test]
fn update_without_a_new_tuple() {
    let kind = Truncated { needed: 1, left: 0 };
    assert_eq!(fault("'U' 00004005 'K' 0001 'n'"), ("tuple kind", 9, kind));
}

#[test]
fn delete_with_a_new_tuple() {
    let kind = UnknownKind { kind: b'N' };
    assert_eq!(fault("'D' 00004005 'N' 0001 'n'"), ("tuple kind", 5, kind));
}

#[test]
fn truncate_with_impossible_counts() {
    assert_eq!(fault("'T' 00000000 00"), ("relation count", 1, Zero));
    let kind = CountTooLarge {
        count: u32::MAX,
        max: 1,
    };
    assert_eq!(
        fault("'T' ffffffff 00 00004005"),
        ("relation count", 1, kind)
    );
    let kind = CountTooLarge { count: 2, max: 1 };
    assert_eq!(
        fault("'T' 00000002 00 00004005 000040"),
        ("relation count", 1, kind)
    );
    assert_eq!(
        fault("'T' 00000001 00 00004005 00004006"),
        ("end", 10, Trailing { left: 4 })
    );
}

#[test]
fn truncate_with_unknown_options() {
    let kind = UnknownFlags { flags: 4 };
    assert_eq!(fault("'T' 00000001 04 00004005"), ("options", 5, kind));
}

#[test]
fn commits_and_prepares_with_flags() {
    let body = "0000000000000001 0000000000000002 0000000000000000";
    let flags = UnknownFlags { flags: 1 };
    assert_eq!(fault(&format!("'C' 01 {body}")), ("flags", 1, flags));
    for tag in ["'P'", "'K'"] {
        assert_eq!(
            fault(&format!("{tag} 01 {body} 00000303 00")),
            ("flags", 1, flags)
        );
    }
    let text = format!("'r' 01 {body} 0000000000000000 00000303 00");
    assert_eq!(fault(&text), ("flags", 1, flags));
}

#[test]
fn message_with_unknown_flags() {
    let text = "'M' 02 0000000000000001 00 00000000";
    assert_eq!(fault(text), ("flags", 1, UnknownFlags { flags: 2 }));
}

#[test]
fn message_whose_content_length_is_wrong() {
    let head = "'M' 01 0000000000000001 'p' 00";
    let kind = Truncated { needed: 2, left: 1 };
    assert_eq!(
        fault(&format!("{head} 00000002 'x'")),
        ("content", 16, kind)
    );
    assert_eq!(
        fault(&format!("{head} 00000000 'x'")),
        ("end", 16, Trailing { left: 1 })
    );
    let kind = NegativeLength { length: -1 };
    assert_eq!(fault(&format!("{head} ffffffff")), ("content", 12, kind));
}

#[test]
fn message_that_claims_a_gigabyte() {
    let kind = Truncated {
        needed: 1 << 30,
        left: 1,
    };
    let text = "'M' 01 0000000000000001 'p' 00 40000000 'x'";
    assert_eq!(fault(text), ("content", 16, kind));
}

#[test]
fn stream_messages_without_streaming() {
    for tag in [b'S', b'E', b'c', b'A', b'p'] {
        let error = error_of(V1, false, &[tag]);
        assert_eq!(
            (error.field, error.offset, error.kind),
            ("tag", 0, NotInDialect)
        );
    }
}
