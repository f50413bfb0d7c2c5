//! Keys that are valid by themselves and make no sense together.

use super::{SINK, problems, read, refused};

const KAFKA: &str = "[sinks.k]\ntype = \"kafka\"\nbrokers = [\"k:9092\"]\n";

#[test]
fn something_must_be_required() {
    refused(
        "[sinks.a]\ntype = \"stdout\"\nrequired = false\n",
        &["no sink is required", "required = true"],
    );
    assert!(
        read(format!(
            "[sinks.a]\ntype = \"file\"\npath = \"f\"\nrequired = false\n{SINK}"
        ))
        .is_ok()
    );
}

#[test]
fn outputs_are_not_shared() {
    let two = |first: &str, second: &str| {
        format!(
            "[sinks.a]\ntype = \"file\"\npath = \"{first}\"\n[sinks.b]\ntype = \"file\"\npath = \"{second}\"\n"
        )
    };
    for (first, second) in [
        ("x", "x"),
        ("x", "./x"),
        ("/a/b", "/a/c/../b"),
        ("x", "y/../x"),
    ] {
        refused(
            &two(first, second),
            &["6:8: `sinks.b.path` is the same file as `sinks.a.path`"],
        );
    }
    assert!(read(two("x", "y")).is_ok());
    assert!(read(two("/dev/null", "/dev/null")).is_ok());
    refused(
        &format!("[sinks.a]\ntype = \"stdout\"\n{SINK}"),
        &["both write to standard output"],
    );
    let text = "[sinks.a]\ntype = \"file\"\npath = \"x\"\non_definite = \"dead-letter\"\ndead_letter = { file = \"x\" }\n";
    refused(
        text,
        &["`sinks.a.dead_letter.file` is the same file as `sinks.a.path`"],
    );
}

#[test]
fn dead_letters_need_a_place_and_a_reason() {
    let policy = "on_definite = \"dead-letter\"\n";
    refused(
        &format!("{SINK}{policy}"),
        &["needs a place for dead letters", "dead_letter = "],
    );
    refused(
        &format!("{SINK}dead_letter = {{ file = \"d\" }}\n"),
        &["never used with on_definite = \"stop\""],
    );
    refused(
        &format!("{KAFKA}{policy}dead_letter = {{ file = \"d\", topic = \"t\" }}\n"),
        &["both a file and a topic"],
    );
    refused(
        &format!("{SINK}{policy}dead_letter = {{ topic = \"t\" }}\n"),
        &["needs a sink of type kafka, this is stdout"],
    );
    assert!(
        read(format!(
            "{KAFKA}{policy}dead_letter = {{ topic = \"t\" }}\n"
        ))
        .is_ok()
    );
    assert!(read(format!("{SINK}{policy}dead_letter = {{ file = \"d\" }}\n")).is_ok());
}

#[test]
fn status_comes_often_enough() {
    let text = format!("[source]\nstatus_interval = \"21s\"\nwal_sender_timeout = \"60s\"\n{SINK}");
    refused(&text, &["2:19: ", "more than a third"]);
    assert!(read(text.replace("21s", "20s")).is_ok());
}

#[test]
fn managing_a_publication_needs_tables() {
    let text = format!("[source]\npublication_mode = \"manage\"\n{SINK}");
    refused(&text, &["2:20: ", "needs `source.tables`"]);
    let text = format!(
        "[source]\npublication_mode = \"manage\"\ntables = [\"a.b\"]\npublications = [\"a\", \"b\"]\n{SINK}"
    );
    refused(&text, &["takes one publication"]);
    refused(
        &format!("[source]\ntables = [\"public.*\"]\n{SINK}"),
        &["not the pattern public.*"],
    );
    assert!(
        read(format!(
            "[source]\npublication_mode = \"manage\"\ntables = [\"a.b\"]\n{SINK}"
        ))
        .is_ok()
    );
}

#[test]
fn rules_for_tables_are_consistent() {
    for (rule, part) in [
        ("\"public.a\" = { mask = [\"x\"] }", "has no `mask_key`"),
        (
            "\"public.a\" = { drop = [\"x\"], key = [\"x\"] }",
            "which is in the key of public.a",
        ),
        (
            "\"public.a\" = { drop = [\"x\", \"x\"] }",
            "an empty column or one twice",
        ),
        (
            "\"public.a\" = { drop = [\"\"] }",
            "an empty column or one twice",
        ),
        ("\"public.a\" = { key = [] }", "is empty"),
        ("\"a\" = { drop = [\"x\"] }", "names no schema"),
        ("\"public.a\" = { topic = \"t\" }", "not of type kafka"),
        (
            "\"public.a\" = { drp = [\"x\"] }",
            "unknown key `sinks.out.rules.\"public.a\".drp`",
        ),
    ] {
        refused(&format!("{SINK}[sinks.out.rules]\n{rule}\n"), &[part]);
    }
    let keyed = format!("{SINK}mask_key = \"0123456789abcdef\"\n");
    refused(&keyed, &["`sinks.out.mask_key` is never used"]);
    refused(
        &format!("{SINK}mask_key = \"short\"\n"),
        &["is shorter than 16 characters"],
    );
    let both = "[sinks.out.rules]\n\"public.a\" = { drop = [\"x\"], mask = [\"x\"] }\n";
    refused(&format!("{keyed}{both}"), &["both drops and masks \"x\""]);
    let declared = "[sinks.out.rules]\n\"public.a\" = { mask = [\"x\"], key = [\"x\"], allow_key_columns = true }\n";
    assert!(read(format!("{keyed}{declared}")).is_ok());
    refused(
        &format!("{KAFKA}rules = {{ \"public.*\" = {{ topic = \"t\" }} }}\n"),
        &["for the pattern public.*"],
    );
    assert!(
        read(format!(
            "{KAFKA}rules = {{ \"public.a\" = {{ topic = \"t\" }} }}\n"
        ))
        .is_ok()
    );
}

#[test]
fn kafka_security_is_whole() {
    for (lines, part) in [
        (
            "sasl_mechanism = \"SCRAM-SHA-512\"",
            "needs all of `sasl_mechanism`",
        ),
        ("sasl_username = \"u\"", "needs all of `sasl_mechanism`"),
        (
            "sasl_mechanism = \"PLAIN\"\nsasl_username = \"u\"\nsasl_password = \"geheim\"",
            "in plain text",
        ),
        ("tls_ca_file = \"x\"", "TLS is off"),
        ("tls = true\ntls_key_file = \"x\"", "needs both"),
        (
            "meta_topic = \"t\"\nstream_topic = \"t\"",
            "are the same topic",
        ),
    ] {
        refused(&format!("{KAFKA}{lines}\n"), &[part]);
    }
    let text = format!(
        "{KAFKA}tls = true\nsasl_mechanism = \"PLAIN\"\nsasl_username = \"u\"\nsasl_password = \"p\"\n"
    );
    assert!(read(text).is_ok());
}

#[test]
fn a_batch_fits_into_memory() {
    let text = format!("[journal]\nmemory = \"1MiB\"\n{SINK}[sinks.out.batch]\nbytes = \"2MiB\"\n");
    refused(
        &text,
        &["6:9: `sinks.out.batch.bytes` is larger than `journal.memory`"],
    );
}

#[test]
fn names_of_sinks_are_plain() {
    for name in ["\"\"", "\"a b\"", "\"a/b\"", "\"ü\""] {
        let problems = problems(format!("[sinks.{name}]\ntype = \"stdout\"\n"));
        assert!(
            problems[0].contains("is not a name for a sink"),
            "{problems:?}"
        );
    }
}

#[test]
fn a_journal_on_disk_confirms_by_itself() {
    let optional = "[sinks.a]\ntype = \"file\"\npath = \"f\"\nrequired = false\n";
    assert!(read(format!("[journal]\npath = \"j\"\n{optional}")).is_ok());
    refused(
        &format!("[journal]\npath = \"j\"\nconfirm = \"sinks\"\n{optional}"),
        &["no sink is required", "[journal] path"],
    );
    refused("[journal]\npath = \"j\"\n", &["there is no sink"]);
}

#[test]
fn what_belongs_to_a_disk_needs_one() {
    for line in [
        "sync_every = \"10ms\"",
        "sync_bytes = \"1MiB\"",
        "segment = \"8MiB\"",
        "confirm = \"sinks\"",
        "compression = \"zstd\"",
        "encryption_key_file = \"keys\"",
        "encryption_key_command = [\"vault\"]",
        "encrypt = true",
        "replay_bytes = \"0B\"",
        "replay_age = \"1h\"",
        "budget = \"1GiB\"",
        "keep_free = 5",
        "on_full = \"hold\"",
        "release = [\"out\"]",
        "allow_data_loss = true",
        "on_damage = \"gap\"",
    ] {
        let key = line.split(' ').next().unwrap_or_default();
        let part = format!(
            "2:{}: `journal.{key}` is never used without `journal.path`",
            key.len() + 4
        );
        refused(&format!("[journal]\n{line}\n{SINK}"), &[&part]);
        let on_disk = problems(format!("[journal]\npath = \"j\"\n{line}\n{SINK}"));
        assert!(
            on_disk.iter().all(|problem| !problem.contains("without")),
            "{on_disk:?}"
        );
    }
}

#[test]
fn the_journal_has_keys_of_one_kind_and_elsewhere() {
    let with = |lines: &str| format!("[journal]\npath = \"j\"\n{lines}\n{SINK}");
    refused(
        &with("encryption_key_file = \"k\"\nencryption_key_command = [\"vault\"]"),
        &["both `encryption_key_file` and `encryption_key_command`"],
    );
    refused(
        &with("encryption_key_command = [\" \"]"),
        &["empty program"],
    );
    refused(
        &with("encryption_key_file = \"./j/keys\""),
        &["lies in the folder that it encrypts"],
    );
    refused(&with("encrypt = false"), &["never used without keys"]);
    refused(&with("compression = \"lz4\""), &["\"lz4\"", "zstd"]);
    for lines in [
        "encryption_key_file = \"keys\"\nencrypt = false",
        "encryption_key_command = [\"vault\"]\ncompression = \"zstd\"",
    ] {
        assert!(read(with(lines)).is_ok(), "{lines}");
    }
}

#[test]
fn the_journal_has_a_folder_of_its_own() {
    let with = |path: &str, more: &str| format!("[journal]\npath = \"{path}\"\n{more}");
    let state = |dir: &str| format!("[state]\ndir = \"{dir}\"\n{SINK}");
    for (journal, dir) in [("s", "s"), ("s", "./s"), ("/a", "/a/b"), ("x/../s", "s")] {
        refused(
            &with(journal, &state(dir)),
            &["2:8: `journal.path` is the folder of `state.dir`, or around it"],
        );
    }
    assert!(read(with("s/journal", &state("s"))).is_ok());
    refused(
        &with(
            "j",
            "[sinks.f]\ntype = \"file\"\npath = \"j/events.ndjson\"\n",
        ),
        &["`sinks.f` writes a file into `journal.path`"],
    );
    let loaded = read(with("j", SINK)).expect("valid");
    let path = loaded.config.journal.path.expect("a path");
    assert!(
        path.is_absolute() && path.ends_with("j"),
        "{}",
        path.display()
    );
}

#[test]
fn the_journal_has_room_for_what_it_is_told_to_hold() {
    let with = |lines: &str| format!("[journal]\npath = \"j\"\n{lines}\n{SINK}");
    refused(
        &with("budget = \"100MiB\""),
        &["less than 4 times `journal.segment`, 64MiB"],
    );
    assert!(read(with("budget = \"100MiB\"\nsegment = \"25MiB\"")).is_ok());
    refused(
        &with("memory = \"2MiB\"\nsync_bytes = \"4MiB\""),
        &["`journal.sync_bytes` is larger than `journal.memory`"],
    );
    for line in [
        "segment = \"100KiB\"",
        "sync_every = \"1h\"",
        "keep_free = 91",
        "keep_free = -1",
        "sync_bytes = \"1B\"",
    ] {
        refused(&with(line), &["is too"]);
    }
}

#[test]
fn what_streams_fits_into_the_journal() {
    let with = |lines: &str| format!("[journal]\npath = \"j\"\n{lines}\n{SINK}");
    refused(
        &with("budget = \"1GiB\"\nspool_budget = \"2GiB\""),
        &["4:16: `journal.spool_budget` is 2GiB, more than `journal.budget`, 1GiB"],
    );
    refused(
        &with("spool_budget = \"21GiB\""),
        &["more than what the journal takes without `journal.budget`, 20GiB"],
    );
    refused(
        &with("spool_budget = \"1GiB\"\nmax_transaction = \"2GiB\""),
        &["`journal.max_transaction` is 2GiB, more than `journal.spool_budget`, 1GiB"],
    );
    for lines in [
        "budget = \"1GiB\"\nspool_budget = \"1GiB\"",
        "spool_budget = \"1GiB\"",
        "max_transaction = \"1TiB\"",
        "spool_budget = \"2GiB\"\nmax_transaction = \"2GiB\"",
    ] {
        assert!(read(with(lines)).is_ok(), "{lines}");
    }
}

#[test]
fn losing_changes_is_declared_twice() {
    let with = |lines: &str| format!("[journal]\npath = \"j\"\n{lines}\n{SINK}");
    let release = "on_full = \"release-sink\"\n";
    assert!(
        read(with(&format!(
            "{release}release = [\"out\"]\nallow_data_loss = true"
        )))
        .is_ok()
    );
    refused(
        &with(&format!("{release}release = [\"out\"]")),
        &[
            "makes a required sink lose changes",
            "allow_data_loss = true",
        ],
    );
    refused(
        &with(&format!("{release}allow_data_loss = true")),
        &["names no sink", "release = "],
    );
    refused(
        &with(&format!(
            "{release}allow_data_loss = true\nrelease = [\"other\"]"
        )),
        &["names the sink \"other\", which is not there"],
    );
    refused(
        &with(&format!(
            "{release}allow_data_loss = true\nrelease = [\"out\", \"out\"]"
        )),
        &["names \"out\" twice"],
    );
    refused(
        &with("release = [\"out\"]"),
        &["never used with on_full = \"hold\""],
    );
    refused(
        &with("allow_data_loss = true"),
        &["never used with on_full = \"hold\""],
    );
    let optional = "[sinks.b]\ntype = \"file\"\npath = \"f\"\nrequired = false\n";
    refused(
        &format!(
            "{}{optional}",
            with(&format!(
                "{release}allow_data_loss = true\nrelease = [\"b\"]"
            ))
        ),
        &["names \"b\", which is not required"],
    );
}

#[test]
fn thresholds_are_in_order() {
    let with = |lines: &str| format!("[guard]\n{lines}\n{SINK}");
    for (lines, parts) in [
        (
            "headroom = [10, 30]",
            [
                "`guard.headroom` contradicts itself: critical at 30",
                "critical is at most 10",
            ],
        ),
        (
            "lag = [\"1m\", \"2m\", \"30s\"]",
            [
                "emergency at 30s comes before critical at 2m",
                "emergency is at least 2m",
            ],
        ),
        (
            "backlog = [\"1GiB\", \"1MiB\"]",
            [
                "critical at 1MiB comes before warning at 1GiB",
                "critical is at least 1GiB",
            ],
        ),
        (
            "error_rate = [1, 2, 3, 4]",
            ["has 4 thresholds", "at most three"],
        ),
        (
            "raise_after = \"5m\"",
            ["`guard.settle_after` is shorter", "at least \"5m\""],
        ),
    ] {
        refused(&with(lines), &parts);
    }
    for lines in ["headroom = []", "lag = [\"1m\", \"1m\"]", "gap = false"] {
        assert!(read(with(lines)).is_ok(), "{lines}");
    }
    refused(&with("lag = [\"10 parsecs\"]"), &["is not a duration"]);
    refused(&with("headroom = [101]"), &["`guard.headroom"]);
    let budget = "[watch]\nbudget = \"1GiB\"\n";
    let beyond = with("retained_bytes = [\"2GiB\"]");
    refused(&format!("{budget}{beyond}"), &["used up at 1GiB"]);
}

#[test]
fn a_policy_says_what_it_needs() {
    let with = |lines: &str| format!("[guard]\n{lines}\n{SINK}");
    for (lines, parts) in [
        (
            "policy = [\"run\"]",
            ["there is no `guard.run_command`", "run_command = "],
        ),
        (
            "run_command = [\"x\"]",
            ["never used without \"run\"", "add the step"],
        ),
        (
            "policy = [\"drop-slot\"]",
            [
                "\"drop-slot\", which loses changes",
                "allow_data_loss = true",
            ],
        ),
        (
            "policy = [\"alert\", \"alert\"]",
            ["\"alert\" twice", "leave one out"],
        ),
        (
            "policy = [\"release-sink other\"]\nallow_data_loss = true",
            [
                "releases the sink \"other\", which is not there",
                "required = true",
            ],
        ),
        ("allow_data_loss = true", ["is never used", "leave it out"]),
        (
            "policy = [\"panic\"]",
            ["is no step of a policy", "drop-slot"],
        ),
    ] {
        refused(&with(lines), &parts);
    }
    let all = "policy = [\"alert\", \"run\", \"release-sink out\", \"drop-slot\"]\n\
               run_command = [\"x\"]\nallow_data_loss = true";
    assert!(read(with(all)).is_ok());
    let alerts = |lines: &str| format!("[alerts]\n{lines}\n{SINK}");
    refused(
        &alerts("slack = \"hooks.slack.com/geheim\""),
        &["`alerts.slack` is no address of the web", "https://"],
    );
    refused(
        &alerts("webhook_token = \"geheim\""),
        &["never used without `alerts.webhook`"],
    );
}

#[test]
fn a_checkpoint_in_kafka_has_one_cluster_and_no_journal_of_one_machine() {
    let kafka = |name: &str| format!("[sinks.{name}]\ntype = \"kafka\"\nbrokers = [\"k:9092\"]\n");
    let topic = "[state]\ncheckpoint_topic = \"c\"\n";
    let one = format!("{topic}{}", kafka("a"));
    let read = read(&one).expect("the only one is meant");
    let found = read.config.checkpoint_topic();
    assert_eq!(
        found.map(|(_, topic)| topic.to_string()).as_deref(),
        Some("c")
    );
    let two = |state: &str| format!("[state]\n{state}\n{}{}", kafka("a"), kafka("b"));
    refused(
        &two("checkpoint_topic = \"c\""),
        &["which is not clear", "checkpoint_sink"],
    );
    refused(
        &two("checkpoint_topic = \"c\"\ncheckpoint_sink = \"d\""),
        &["there is no Kafka sink d"],
    );
    refused(
        &two("checkpoint_sink = \"a\""),
        &["never used without `state.checkpoint_topic`"],
    );
    refused(
        &format!("{one}[journal]\npath = \"j\"\n"),
        &["where the journal on disk is not", "standby = true"],
    );
}

#[test]
fn certificates_of_clients_need_an_authority_subjects_and_tls() {
    const PUSH: &str = "[sinks.p]\ntype = \"websocket\"\ndelivery = \"live-only\"\n";
    const TLS: &str = "tls_cert = \"c\"\ntls_key = \"k\"\n";
    const CA: &str = "client_ca = \"ca\"\n";
    const SUBJECTS: &str = "subjects = { \"ann.example.com\" = { tables = [\"public.*\"] } }\n";
    for (lines, problem) in [
        (
            format!("{CA}{SUBJECTS}"),
            "which nobody can show without TLS",
        ),
        (format!("{TLS}{SUBJECTS}"), "no client_ca"),
        (format!("{TLS}{CA}"), "no subjects"),
        (
            format!("{TLS}{CA}{SUBJECTS}policy = \"open\"\n"),
            "`sinks.p.subjects` is never used",
        ),
        (
            format!("{TLS}{CA}subjects = {{ ann = {{ tables = [] }} }}\n"),
            "opens nothing",
        ),
        (
            format!("{TLS}{CA}subjects = {{ \"\" = {{}} }}\n"),
            "without a name",
        ),
    ] {
        refused(&format!("{PUSH}{lines}"), &[problem]);
    }
    // They are somebody: no token is needed beside them, from anywhere.
    let elsewhere = "listen = \"0.0.0.0:9465\"\n";
    assert!(read(format!("{PUSH}{elsewhere}{TLS}{CA}{SUBJECTS}")).is_ok());
}
