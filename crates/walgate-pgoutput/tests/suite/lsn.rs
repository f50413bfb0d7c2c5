//! Positions as text and as numbers.

use walgate_pgoutput::Lsn;

#[test]
fn text_is_as_postgresql_prints_it() {
    for (lsn, text) in [
        (Lsn::ZERO, "0/0"),
        (Lsn(0x16_B374_D848), "16/B374D848"),
        (Lsn(1 << 32), "1/0"),
        (Lsn(u64::MAX), "FFFFFFFF/FFFFFFFF"),
    ] {
        assert_eq!(lsn.to_string(), text);
        assert_eq!(text.parse(), Ok(lsn));
        assert_eq!(text.to_lowercase().parse(), Ok(lsn));
    }
    assert_eq!(format!("{:?}", Lsn(1)), "Lsn(0/1)");
    assert_eq!("00000000/0000000A".parse(), Ok(Lsn(10)));
}

#[test]
fn other_text_is_refused() {
    for text in [
        "",
        "/",
        "0",
        "0/",
        "/0",
        "g/0",
        "0/0/0",
        "+1/0",
        "-1/0",
        " 0/0",
        "0/0 ",
        "123456789/0",
        "0/012345678",
    ] {
        assert!(text.parse::<Lsn>().is_err(), "{text:?}");
    }
}

#[test]
fn arithmetic_does_not_wrap() {
    assert_eq!(Lsn(5).checked_add(3), Some(Lsn(8)));
    assert_eq!(Lsn(u64::MAX).checked_add(1), None);
    assert_eq!(Lsn(5).checked_sub(3), Some(Lsn(2)));
    assert_eq!(Lsn(5).checked_sub(6), None);
    assert_eq!(Lsn(5).bytes_since(Lsn(3)), 2);
    assert_eq!(Lsn(3).bytes_since(Lsn(5)), 0);
    assert!(Lsn(0xFFFF_FFFF) < Lsn(0x1_0000_0000));
}
