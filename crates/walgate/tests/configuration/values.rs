//! Each kind of value: what it refuses, with the key, the place and what is allowed.

use super::{SINK, problems, read, refused};

#[test]
fn unknown_keys_come_with_a_suggestion() {
    for (text, parts) in [
        (
            "[source]\nslto = \"a\"\n",
            ["2:1: unknown key `source.slto`", "did you mean `slot`?"],
        ),
        (
            "[source]\nStatus-Interval = \"1s\"\n",
            ["unknown key", "did you mean `status_interval`?"],
        ),
        (
            "[sorce]\n",
            ["1:2: unknown key `sorce`", "did you mean `source`?"],
        ),
        (
            "[source]\nzzz = 1\n",
            ["unknown key `source.zzz`", "known keys here: url, "],
        ),
        (
            "[source.\"a b\"]\n",
            ["unknown key `source.\"a b\"`", "known keys here"],
        ),
        (
            "[sinks.f]\ntype = \"file\"\npath = \"x\"\nbrokers = []\n",
            [
                "unknown key `sinks.f.brokers`",
                "belongs to type = \"kafka\"",
            ],
        ),
        (
            "[sinks.f.batch]\nbites = \"1MiB\"\n[sinks.f]\ntype = \"stdout\"\n",
            ["unknown key `sinks.f.batch.bites`", "did you mean `bytes`?"],
        ),
    ] {
        refused(&format!("{text}{SINK}"), &parts);
    }
}

#[test]
fn types_are_not_guessed() {
    for (line, parts) in [
        (
            "epoch = \"5\"",
            ["`source.epoch` is a string", "a whole number"],
        ),
        (
            "epoch = 5.5",
            ["a number with a fraction or an exponent", "0 to 255"],
        ),
        (
            "epoch = 1e2",
            ["a number with a fraction or an exponent", "0 to 255"],
        ),
        ("epoch = 0x10", ["a number that is not decimal", "0 to 255"]),
        ("epoch = -1", ["too small", "0 to 255"]),
        ("epoch = 256", ["too large", "0 to 255"]),
        (
            "epoch = 99999999999999999999",
            ["a number out of range", "0 to 255"],
        ),
        ("epoch = true", ["is a boolean", "a whole number"]),
        (
            "epoch = 2026-11-21",
            ["is a date or time", "a whole number"],
        ),
        (
            "create_slot = \"yes\"",
            ["is a string", "true or false, without quotes"],
        ),
        ("create_slot = 1", ["is a whole number", "true or false"]),
        ("slot = 5", ["is a whole number", "a string in quotes"]),
        ("slot = [\"a\"]", ["is a list", "a string in quotes"]),
        (
            "publications = \"a\"",
            ["is a string, expected a list", "[\"…\", \"…\"]"],
        ),
        (
            "publications = [1]",
            ["is a whole number", "a string in quotes"],
        ),
        (
            "publications = []",
            ["`source.publications` is empty", "at least one"],
        ),
        ("slot.name = \"a\"", ["is a table", "a string in quotes"]),
    ] {
        refused(&format!("[source]\n{line}\n{SINK}"), &parts);
    }
    refused(
        &format!("source = 1\n{SINK}"),
        &["`source` is a whole number, expected a table"],
    );
    refused("sinks = []\n", &["`sinks` is a list, expected a table"]);
}

#[test]
fn durations_and_sizes_have_units_and_bounds() {
    for (line, parts) in [
        (
            "status_interval = \"10\"",
            ["2:19: `source.status_interval` has no unit", "\"10s\""],
        ),
        (
            "status_interval = 10",
            ["is a whole number", "\"100ms\" to \"10m\""],
        ),
        (
            "status_interval = \"0s\"",
            ["too small", "\"100ms\" to \"10m\""],
        ),
        ("status_interval = \"-1s\"", ["is negative", "\"10s\""]),
        (
            "status_interval = \"1h\"",
            ["too large", "\"100ms\" to \"10m\""],
        ),
        (
            "status_interval = \"ten seconds\"",
            ["is not a duration", "\"10s\""],
        ),
        ("status_interval = \"\"", ["is empty", "\"10s\""]),
        ("max_row = \"1\"", ["has no unit", "\"64MiB\""]),
        ("max_row = \"0B\"", ["too small", "\"8KiB\" to \"1GiB\""]),
        ("max_row = \"2GiB\"", ["too large", "\"8KiB\" to \"1GiB\""]),
        ("max_row = \"64Mb\"", ["has an unknown unit", "\"64MiB\""]),
        ("max_row = \"-1MiB\"", ["is negative", "\"64MiB\""]),
        (
            "max_row = \"99999999999TiB\"",
            ["is too large", "\"64MiB\""],
        ),
    ] {
        refused(&format!("[source]\n{line}\n{SINK}"), &parts);
    }
    refused(
        &format!("[journal]\nmemory = \"0B\"\n{SINK}"),
        &["too small", "\"1MiB\""],
    );
    refused(
        &format!("[journal]\nmemory = \"9GiB\"\n{SINK}"),
        &["2:10: ", "the machine has 8GiB"],
    );
}

#[test]
fn slot_names_are_postgresqls() {
    let long = "x".repeat(64);
    for name in [
        "",
        "Walgate",
        "wal-gate",
        "wal.gate",
        "wal gate",
        "tür",
        long.as_str(),
    ] {
        refused(
            &format!("[source]\nslot = \"{name}\"\n{SINK}"),
            &["2:8: `source.slot` ", "a-z, 0-9 and _"],
        );
    }
}

#[test]
fn publication_names_may_be_anything_that_postgresql_takes() {
    let text =
        format!("[source]\npublications = ['a \"quoted\" one', \"b,c\", \"Ünï\", \"x'y\"]\n{SINK}");
    let loaded = read(&text).expect("valid");
    assert_eq!(
        loaded.config.source.publications,
        ["a \"quoted\" one", "b,c", "Ünï", "x'y"]
    );
    for (names, part) in [
        ("[\"\"]", "an empty name"),
        ("[\"a\", \"a\"]", "a name twice"),
        (
            format!("[\"{}\"]", "x".repeat(64)).as_str(),
            "longer than 63 bytes",
        ),
        ("[\"a\\u0000b\"]", "a NUL character"),
    ] {
        refused(
            &format!("[source]\npublications = {names}\n{SINK}"),
            &[part],
        );
    }
}

#[test]
fn patterns_and_templates_are_checked() {
    for pattern in [
        "orders",
        "public.",
        "a.b.c",
        "public.[a-z]+",
        "(a+)+$.x",
        "\\\"open.x",
    ] {
        refused(
            &format!("{SINK}tables = [\"{pattern}\"]\n"),
            &["3:11: `sinks.out.tables` ", "schema.table"],
        );
    }
    for (template, part) in [
        ("{tabel}", "unknown placeholder {tabel}"),
        ("{schema", "never closed"),
        ("a/{table}", "contains '/'"),
        (&"x".repeat(250), "longer than 249"),
    ] {
        let text = format!(
            "[sinks.k]\ntype = \"kafka\"\nbrokers = [\"k:9092\"]\ntopic = \"{template}\"\n"
        );
        refused(&text, &["4:9: `sinks.k.topic` ", part]);
    }
    let text = "[sinks.k]\ntype = \"kafka\"\nbrokers = [\"k:9092\"]\nmeta_topic = \"a b\"\n";
    refused(text, &["`sinks.k.meta_topic` contains ' '"]);
}

#[test]
fn choices_are_listed() {
    for (text, parts) in [
        (
            "[log]\nlevel = \"warning\"\n",
            [
                "2:9: `log.level` can't be \"warning\"",
                "did you mean \"warn\"?",
            ],
        ),
        (
            "[source]\non_gap = \"ignore\"\n",
            [
                "`source.on_gap` can't be \"ignore\"",
                "\"stop\", \"continue\"",
            ],
        ),
        (
            "[sinks.x]\ntype = \"carrier pigeon\"\n",
            ["`sinks.x.type` can't be", "\"stdout\", \"file\", \"kafka\""],
        ),
        (
            "[sinks.x]\ntype = 5\n",
            [
                "`sinks.x.type` is a whole number",
                "\"stdout\", \"file\", \"kafka\"",
            ],
        ),
        (
            "[sinks.x]\nrequired = true\n",
            ["`sinks.x` has no `type`", "\"stdout\", \"file\", \"kafka\""],
        ),
        (
            "[sinks.x]\ntype = \"kafka\"\n",
            ["`sinks.x` has no `brokers`", "for example brokers = "],
        ),
        (
            "[sinks.x]\ntype = \"file\"\npath = \"\"\n",
            ["`sinks.x.path` is empty", ""],
        ),
        (
            "[sinks.x]\ntype = \"stdout\"\nops = []\n",
            ["`sinks.x.ops` is empty", "at least one"],
        ),
        (
            "[sinks.x]\ntype = \"stdout\"\nops = [\"upsert\"]\n",
            ["`sinks.x.ops` can't be \"upsert\"", "\"update\""],
        ),
    ] {
        refused(
            &format!("{text}{}", if text.contains("stdout") { "" } else { SINK }),
            &parts,
        );
    }
}

#[test]
fn urls_follow_libpq_and_show_no_password() {
    for (url, part) in [
        ("mysql://a@h/d", "`source.url`"),
        ("postgres://a:geheim@h:0/d", "port"),
        ("postgres://a:geheim@h:65536/d", "port"),
        ("postgres://a:geh@eim@h/d", "percent-encoded"),
        ("postgres://a:geheim@::1/d", "[ ]"),
        ("postgres://a:geheim@h/d?sslmode=sometimes", "sslmode"),
        ("postgres://a:geheim@h/d?sslmod=require", "sslmode"),
        ("postgres://a:%00geheim@h/d", "`source.url`"),
        ("host=h password=geheim port=x", "port"),
    ] {
        let problems = problems(format!("[source]\nurl = \"{url}\"\n{SINK}"));
        assert_eq!(problems.len(), 1, "{url}: {problems:?}");
        assert!(
            problems[0].starts_with("2:7: ") && problems[0].contains(part),
            "{url}: {problems:?}"
        );
        assert!(
            !problems[0].contains("geh") && !problems[0].contains("eim"),
            "{problems:?}"
        );
    }
    for url in [
        "postgres://a:ge%40h%3Aei%2Fm%25%23@h/d",
        "postgres://a@[::1]:5432/d",
        "host=h user=a",
        "postgres://",
    ] {
        assert!(
            read(format!("[source]\nurl = \"{url}\"\n{SINK}")).is_ok(),
            "{url}"
        );
    }
}

#[test]
fn brokers_have_a_host_and_a_port() {
    for broker in [
        "",
        "kafka",
        "kafka:",
        "kafka:0",
        "kafka:65536",
        ":9092",
        "::1:9092",
        "a:1,b:2",
        "kafka:9092 ",
        "kafka://h:9092",
    ] {
        let text = format!("[sinks.k]\ntype = \"kafka\"\nbrokers = [\"{broker}\"]\n");
        refused(&text, &["3:11: `sinks.k.brokers` has a", "host:port"]);
    }
    assert!(
        read(
            "[sinks.k]\ntype = \"kafka\"\nbrokers = [\"[::1]:9092\", \"kafka.example.com:9092\"]\n"
        )
        .is_ok()
    );
}
