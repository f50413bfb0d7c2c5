//! The file itself: encodings, sizes, and what is no file at all.

use std::path::Path;

use walgate::config::{Overrides, load};

use super::{Folder, SINK, problems, read, refused, surroundings};

#[test]
fn line_ends_tabs_and_a_byte_order_mark_are_fine() {
    let plain = format!("[source]\nslot = \"a\"\n{SINK}");
    let crlf = plain.replace('\n', "\r\n");
    for text in [
        plain.clone(),
        crlf.clone(),
        format!("\u{feff}{plain}"),
        format!("\u{feff}{crlf}"),
        plain.replace(" = ", "\t=\t"),
    ] {
        let loaded = read(&text).expect(&text);
        assert_eq!(loaded.config.source.slot.as_str(), "a");
        assert_eq!(
            loaded.place(&["source", "slot"]).map(|place| place.line),
            Some(2)
        );
    }
}

#[test]
fn an_empty_file_has_no_sink() {
    for text in ["", "\n\n", "# nothing\n", "\u{feff}"] {
        refused(text, &["there is no sink", "[sinks.NAME]"]);
    }
}

#[test]
fn what_is_not_utf_8_names_the_line() {
    for (bytes, line) in [
        (&b"[source]\nslot = \"\xff\"\n"[..], "from line 2 on"),
        (b"\xff\xfe[\0s\0", "from line 1 on"),
        (b"# caf\xe9", "from line 1 on"),
    ] {
        let problems = problems(bytes);
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].contains("is not UTF-8") && problems[0].contains(line),
            "{problems:?}"
        );
    }
}

#[test]
fn a_huge_file_is_not_read_whole() {
    let folder = Folder::with("");
    let file = std::fs::File::create(folder.path("walgate.toml")).expect("created");
    file.set_len(100 << 20).expect("a sparse file");
    let problems = folder.load().expect_err("too large");
    assert!(
        problems.to_string().contains("is larger than 1024 KiB"),
        "{problems}"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!problems(deep).is_empty());
    let deep = format!("{} = 1", vec!["a"; 50_000].join("."));
    assert!(!problems(deep).is_empty());
}

#[test]
fn what_is_no_file_is_said() {
    let folder = Folder::with("");
    for (name, problem) in [("missing.toml", "does not exist"), (".", "is a folder")] {
        let path = folder.path(name);
        let problems = load(Some(&path), &Overrides::default(), &surroundings()).expect_err(name);
        assert!(problems.to_string().contains(problem), "{problems}");
        assert!(problems.iter().all(|problem| {
            problem
                .hint
                .as_deref()
                .is_some_and(|hint| hint.contains("-c"))
        }));
    }
    let problems = load(
        Some(Path::new("a\0b")),
        &Overrides::default(),
        &surroundings(),
    )
    .expect_err("nul");
    assert!(problems.to_string().contains("can't be read"), "{problems}");
}

#[cfg(unix)]
#[test]
fn a_loop_of_links_ends() {
    let folder = Folder::with("");
    let path = folder.path("loop.toml");
    std::os::unix::fs::symlink(&path, &path).expect("a link");
    let problems = load(Some(&path), &Overrides::default(), &surroundings()).expect_err("a loop");
    assert!(
        problems
            .to_string()
            .contains("too many levels of symbolic links"),
        "{problems}"
    );
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with(SINK);
    let path = folder.path("walgate.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("set");
    match (folder.load(), std::fs::File::open(&path)) {
        (Err(problems), Err(_)) => {
            assert!(
                problems.to_string().contains("permission denied"),
                "{problems}"
            );
        }
        // The superuser reads everything.
        (Ok(_), Ok(_)) => {}
        (loaded, opened) => panic!("{loaded:?} and {opened:?}"),
    }
}

#[test]
fn syntax_errors_have_a_place_and_quote_nothing() {
    for (text, place) in [
        ("[source\nslot = \"a\"", "1:8: "),
        ("[source]\nurl = \"postgres://a:geheim@h/d", "2:31: "),
        ("[source]\nurl = postgres://a:geheim@h/d", "2:7: "),
        ("[source]\nslot \"a\"", "2:"),
        ("= 1", "1:1: "),
    ] {
        let problems = problems(text);
        assert!(problems[0].starts_with(place), "{text}: {problems:?}");
        assert!(
            problems.iter().all(|problem| !problem.contains("geheim")),
            "{problems:?}"
        );
    }
}

#[test]
fn a_key_is_given_once() {
    for (text, part) in [
        (
            "[source]\nslot = \"a\"\nslot = \"b\"",
            "3:1: duplicate key `slot`",
        ),
        ("[source]\n[source]", "2:2: duplicate key `source`"),
        (
            "source.slot = \"a\"\n[source]\nslot = \"b\"",
            "duplicate key",
        ),
        ("source.slot = \"a\"\nsource.slot.x = 1", "2:"),
        ("source = 1\n[source.x]", "2:"),
        ("[[source]]\n[source]", "2:"),
    ] {
        let problems = problems(text);
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{text}: {problems:?}"
        );
    }
}

#[test]
fn several_problems_are_told_at_once() {
    let text = "shutdown_timeout = 5\n[source]\nslto = \"a\"\nepoch = 256\n[jurnal]\nmemory = \"1MiB\"\n\
                [sinks.a]\ntype = \"kafak\"\n[log]\nlevel = \"loud\"\n";
    let problems = problems(text);
    let lines: Vec<_> = problems
        .iter()
        .filter_map(|problem| problem.split(':').next())
        .collect();
    assert_eq!(lines, ["1", "3", "4", "5", "8", "10"], "{problems:#?}");
}
