//! Each form of a value: type, PostgreSQL's text, JSON. The texts are what PostgreSQL 15 prints
//! under the settings that the format pins.

use bytes::BytesMut;
use walgate_core::Shape;
use walgate_format::{Int8, ValueError, write_value};

fn json(type_name: &str, text: &str) -> Result<String, ValueError> {
    // A type that PostgreSQL does not know is text.
    let shape = Shape::of_builtin_name(type_name).unwrap_or(Shape::TEXT);
    let mut out = BytesMut::new();
    write_value(shape, Int8::Number, text.as_bytes(), &mut out)?;
    Ok(String::from_utf8(out.to_vec()).expect("JSON is UTF-8"))
}

#[track_caller]
fn check(table: &[(&str, &str, &str)]) {
    for (type_name, text, expected) in table {
        let written = json(type_name, text);
        assert_eq!(written.as_deref(), Ok(*expected), "{type_name} {text}");
        let valid = serde_json::from_str::<&serde_json::value::RawValue>(expected);
        assert!(valid.is_ok(), "{type_name} {text}: {expected} is not JSON");
        assert!(!expected.contains(['\n', '\r']));
    }
}

/// The same as a string.
#[track_caller]
fn check_text(table: &[(&str, &str)]) {
    for (type_name, text) in table {
        check(&[(type_name, text, &format!("\"{text}\""))]);
    }
}

#[test]
fn booleans_and_integers() {
    check(&[
        ("bool", "t", "true"),
        ("bool", "f", "false"),
        ("int2", "-32768", "-32768"),
        ("int4", "0", "0"),
        ("int4", "-2147483648", "-2147483648"),
        ("oid", "4294967295", "4294967295"),
        ("int8", "9223372036854775807", "9223372036854775807"),
    ]);
    for (type_name, text) in [
        ("bool", "true"),
        ("bool", ""),
        ("int4", ""),
        ("int8", "1.5"),
    ] {
        assert!(json(type_name, text).is_err(), "{type_name} {text}");
    }
}

#[test]
fn int8_as_a_string() {
    let shape = Shape::of_builtin_name("int8").expect("built in");
    let mut out = BytesMut::new();
    write_value(shape, Int8::String, b"-9007199254740993", &mut out).expect("digits");
    assert_eq!(&out[..], b"\"-9007199254740993\"");
    assert_eq!(
        write_value(shape, Int8::String, b"x", &mut out),
        Err(ValueError::NotInteger)
    );
}

#[test]
fn floats() {
    check(&[
        ("float8", "1e+20", "1e+20"),
        ("float8", "1e-07", "1e-07"),
        ("float8", "-0", "-0"),
        ("float8", "0", "0"),
        ("float8", "1e-307", "1e-307"),
        ("float8", "1.2345678901234568e+17", "1.2345678901234568e+17"),
        ("float8", "1e+15", "1e+15"),
        ("float8", "5e-324", "5e-324"),
        ("float4", "3.4028235e+38", "3.4028235e+38"),
        ("float4", "0.1", "0.1"),
        ("float8", "-123.456", "-123.456"),
        ("float8", "NaN", "\"NaN\""),
        ("float8", "Infinity", "\"Infinity\""),
        ("float4", "-Infinity", "\"-Infinity\""),
    ]);
    assert_eq!(json("float8", "inf"), Err(ValueError::NotFloat));
}

#[test]
fn numeric_never_goes_through_a_double() {
    let large = format!("{}.{}", "9".repeat(131_072), "1".repeat(16_383));
    check_text(&[
        ("numeric", "19.90"),
        ("numeric", "-0.000000000000000000000001"),
        ("numeric", "NaN"),
        ("numeric", "Infinity"),
        ("numeric", "-Infinity"),
        ("numeric", &large),
    ]);
}

#[test]
fn json_is_the_value_itself() {
    check(&[
        (
            "jsonb",
            r#"{"a": 1, "b": [null, "x\n"]}"#,
            r#"{"a": 1, "b": [null, "x\n"]}"#,
        ),
        (
            "json",
            "{\"a\" : 1,\n\"b\":\"\\u0000\",\r\n\t\"a\":2}",
            "{\"a\" : 1, \"b\":\"\\u0000\",  \t\"a\":2}",
        ),
        ("json", "\n1\n", " 1 "),
        (
            "jsonb",
            "12345678901234567890123.5e400",
            "12345678901234567890123.5e400",
        ),
        ("jsonb", r#""größe 🦀""#, r#""größe 🦀""#),
        ("jsonb", "null", "null"),
        ("json", r#""\ud800""#, r#""\ud800""#),
    ]);
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    check(&[("json", &deep, &deep)]);
    assert_eq!(json("json", ""), Err(ValueError::EmptyJson));
}

#[test]
fn bytea_is_base64() {
    check(&[
        ("bytea", "\\x", "\"\""),
        ("bytea", "\\x00", "\"AA==\""),
        ("bytea", "\\xdeadbeef", "\"3q2+7w==\""),
        ("bytea", "\\xfbff", "\"+/8=\""),
    ]);
    assert_eq!(json("bytea", "\\336\\255"), Err(ValueError::NotHex));
    assert_eq!(json("bytea", "text"), Err(ValueError::NotHex));
}

#[test]
fn dates_and_times_are_iso_8601() {
    check(&[
        (
            "timestamptz",
            "2026-11-21 09:30:00.123+00",
            "\"2026-11-21T09:30:00.123Z\"",
        ),
        (
            "timestamptz",
            "2026-11-21 09:30:00.123456+00",
            "\"2026-11-21T09:30:00.123456Z\"",
        ),
        (
            "timestamptz",
            "2026-11-21 09:30:00+00",
            "\"2026-11-21T09:30:00Z\"",
        ),
        (
            "timestamptz",
            "0001-01-01 00:00:00+00",
            "\"0001-01-01T00:00:00Z\"",
        ),
        (
            "timestamp",
            "2026-01-01 00:00:00.5",
            "\"2026-01-01T00:00:00.5\"",
        ),
        (
            "timestamp",
            "9999-12-31 23:59:59",
            "\"9999-12-31T23:59:59\"",
        ),
        ("timetz", "10:00:00+02", "\"10:00:00+02:00\""),
        ("timetz", "10:00:00.5-03:30", "\"10:00:00.5-03:30\""),
        ("timetz", "24:00:00+15:59:59", "\"24:00:00+15:59:59\""),
        ("timetz", "00:00:00-15:59:59", "\"00:00:00-15:59:59\""),
        ("timetz", "23:59:59.999999-12", "\"23:59:59.999999-12:00\""),
    ]);
    check_text(&[
        ("date", "2026-11-21"),
        ("date", "0044-03-15 BC"),
        ("date", "10000-01-01"),
        ("date", "infinity"),
        ("time", "24:00:00"),
        ("time", "09:30:00.000001"),
    ]);
}

#[test]
fn what_iso_8601_can_not_say_stays_the_text_of_postgresql() {
    check_text(&[
        ("timestamptz", "infinity"),
        ("timestamptz", "-infinity"),
        ("timestamptz", "294276-12-31 23:59:59.999999+00"),
        ("timestamptz", "4714-11-24 00:00:00+00 BC"),
        ("timestamptz", "0044-03-15 12:00:00.5+00 BC"),
        ("timestamp", "0044-03-15 12:00:00.5 BC"),
        ("timestamp", "10000-01-01 00:00:00"),
        ("timestamp", "infinity"),
        ("timestamp", "-infinity"),
    ]);
}

#[test]
fn intervals_are_durations() {
    check_text(&[
        ("interval", "P10M3DT-4H-5M-6.7S"),
        ("interval", "PT0S"),
        ("interval", "P-1D"),
        ("interval", "PT0.000001S"),
        ("interval", "infinity"),
    ]);
}

#[test]
fn everything_else_is_the_text_of_postgresql() {
    check_text(&[
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("text", ""),
        ("text", "NULL"),
        ("varchar", "Zoë 🦀"),
        ("bpchar", "a  "),
        ("char", "x"),
        ("xml", "<a b='1'/>"),
        ("inet", "::1/128"),
        ("cidr", "10.0.0.0/8"),
        ("macaddr", "08:00:2b:01:02:03"),
        ("money", "$1,234,567.80"),
        ("bit", "0101"),
        ("varbit", ""),
        ("int4range", "[1,5)"),
        ("int4range", "empty"),
        ("numrange", "(,)"),
        ("int4multirange", "{[1,3),[5,6)}"),
        ("box", "(1,1),(0,0)"),
        ("tsvector", "'a':1 'b':2"),
        ("int2vector", "1 2"),
        ("oidvector", "1 2 3"),
        ("pg_lsn", "0/14A2F60"),
        ("no_such_type", "(1,,)"),
    ]);
    check(&[
        ("hstore", r#""a"=>"1""#, r#""\"a\"=>\"1\"""#),
        (
            "composite",
            r#"(1,"a ""b""",)"#,
            r#""(1,\"a \"\"b\"\"\",)""#,
        ),
        (
            "tsrange",
            r#"["2026-01-01 00:00:00",)"#,
            r#""[\"2026-01-01 00:00:00\",)""#,
        ),
        (
            "text",
            "tab\tline\r\nbell\u{7}",
            r#""tab\tline\r\nbell\u0007""#,
        ),
        (
            "xml",
            "<?xml version=\"1.0\"?>\n<a/>",
            r#""<?xml version=\"1.0\"?>\n<a/>""#,
        ),
        ("text", r"C:\temp", r#""C:\\temp""#),
    ]);
}

#[test]
fn arrays_are_nested_arrays() {
    check(&[
        ("_int4", "{}", "[]"),
        ("_int4", "{1,NULL,3}", "[1,null,3]"),
        ("_int4", "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
        ("_int4", "[0:2]={1,2,3}", "[1,2,3]"),
        ("_int4", "[-1:0][2:3]={{1,2},{3,4}}", "[[1,2],[3,4]]"),
        ("_bool", "{t,f}", "[true,false]"),
        (
            "_float8",
            "{1.5,NaN,-Infinity,1e+20}",
            r#"[1.5,"NaN","-Infinity",1e+20]"#,
        ),
        ("_numeric", "{1.10,NaN}", r#"["1.10","NaN"]"#),
        ("_oid", "{4294967295}", "[4294967295]"),
        ("_int2vector", r#"{1,"1 2"}"#, r#"["1","1 2"]"#),
        (
            "_box",
            "{(1,1),(0,0);(3,3),(2,2)}",
            r#"["(1,1),(0,0)","(3,3),(2,2)"]"#,
        ),
        ("_bytea", r#"{"\\xdead","\\x"}"#, r#"["3q0=",""]"#),
        (
            "_jsonb",
            r#"{"{\"a\": 1}","null","\"x\"","[1, 2]",NULL}"#,
            r#"[{"a": 1},null,"x",[1, 2],null]"#,
        ),
        ("_json", "{\"{\n}\"}", "[{ }]"),
        (
            "_timestamptz",
            r#"{"2026-11-21 12:11:33+00",infinity,"0044-03-15 00:00:00+00 BC"}"#,
            r#"["2026-11-21T12:11:33Z","infinity","0044-03-15 00:00:00+00 BC"]"#,
        ),
        (
            "_timestamp",
            r#"{"2026-01-01 00:00:00.5","10000-01-01 00:00:00"}"#,
            r#"["2026-01-01T00:00:00.5","10000-01-01 00:00:00"]"#,
        ),
        ("_date", r#"{"2000-01-01 BC"}"#, r#"["2000-01-01 BC"]"#),
        ("_timetz", "{10:00:00+02}", r#"["10:00:00+02:00"]"#),
        ("_int4range", r#"{"[1,5)",empty}"#, r#"["[1,5)","empty"]"#),
    ]);
}

#[test]
fn elements_are_unquoted_and_null_is_told_from_its_name() {
    let text = concat!(
        r#"{"a b","NULL",NULL,"","q\"q","b\\s","{x}","a,b",ü,""#,
        "\n",
        r#"","null",Nul}"#
    );
    let expected = r#"["a b","NULL",null,"","q\"q","b\\s","{x}","a,b","ü","\n","null","Nul"]"#;
    check(&[("_text", text, expected)]);
}

#[test]
fn what_does_not_fit_its_type_is_refused_in_arrays_too() {
    assert_eq!(json("_int4", "{x}"), Err(ValueError::NotInteger));
    assert_eq!(json("_jsonb", r#"{""}"#), Err(ValueError::EmptyJson));
    assert!(matches!(
        json("_int4", "1,2"),
        Err(ValueError::NotArray { at: 0 })
    ));
}

/// 10 MB, as `bit varying` can hold.
#[test]
fn long_values_pass() {
    let bits = "10".repeat(5_000_000);
    check_text(&[("varbit", &bits)]);
    let array = format!("{{{}}}", vec!["1"; 100_000].join(","));
    check(&[("_int4", &array, &array.replace('{', "[").replace('}', "]"))]);
}
