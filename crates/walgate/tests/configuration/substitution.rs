//! `${…}` in a whole file, and that what is put in never comes out again.

use walgate::config::{Secret, explain};

use super::{Folder, SINK, problems, read};

#[test]
fn values_are_put_in() {
    let folder = Folder::with(format!(
        "[source]\nurl = \"postgres://app:${{SECRET}}@h/d\"\nepoch = \"${{NUMBER}}\"\nfailover = \"${{YES}}\"\n\
         publications = [\"p${{NUMBER}}\", \"$${{x}}\"]\n[sinks.k]\ntype = \"kafka\"\nbrokers = [\"k:9092\"]\n\
         tls = true\nsasl_mechanism = \"PLAIN\"\nsasl_username = \"u\"\nsasl_password = \"${{file:secret}}\"\n{SINK}"
    ));
    folder.write("secret", "hidden-in-a-file\n");
    let loaded = folder.load().expect("valid");
    let source = &loaded.config.source;
    assert_eq!(
        source.url.as_ref().map(Secret::expose),
        Some("postgres://app:geheim-geheim-geheim@h/d")
    );
    assert_eq!((source.epoch, source.failover), (7, true));
    assert_eq!(source.publications, ["p7", "${x}"]);
    let page = explain(&loaded);
    assert!(
        !page.contains("geheim") && !page.contains("hidden-in"),
        "{page}"
    );
    let debug = format!("{:?}", loaded.config);
    assert!(
        !debug.contains("geheim") && !debug.contains("hidden-in"),
        "{debug}"
    );
}

#[test]
fn what_is_missing_is_named_at_once() {
    let text = format!(
        "[source]\nurl = \"${{NO_URL}}\"\nslot = \"${{NO_SLOT}}\"\npublications = [\"${{file:nowhere}}\"]\n{SINK}"
    );
    let problems = problems(text);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems[0].starts_with("2:7: `url` needs the environment variable NO_URL"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("3:8: `slot` needs the environment variable NO_SLOT"),
        "{problems:?}"
    );
    assert!(
        problems[2]
            .starts_with("4:17: `publications` needs the file nowhere, which does not exist"),
        "{problems:?}"
    );
}

#[test]
fn what_is_put_in_is_never_echoed() {
    for line in [
        "[source]\nslot = \"${SECRET}\"",
        "[source]\nstatus_interval = \"${SECRET}\"",
        "[source]\nmax_row = \"${SECRET}\"",
        "[source]\nepoch = \"${SECRET}\"",
        "[source]\nfailover = \"${SECRET}\"",
        "[source]\non_gap = \"${SECRET}\"",
        "[source]\ntables = [\"${SECRET}\"]",
        "[source]\nurl = \"postgres://a@h/d?${SECRET}=1\"",
        "[source]\nurl = \"postgres://a@h/d?sslmode=${SECRET}\"",
        "[log]\nlevel = \"${SECRET}\"",
        "[sinks.x]\ntype = \"${SECRET}\"",
        "[sinks.x]\ntype = \"kafka\"\nbrokers = [\"${SECRET}\"]",
        "[sinks.x]\ntype = \"kafka\"\nbrokers = [\"k:1\"]\ntopic = \"{${SECRET}}\"",
    ] {
        let problems = problems(format!("{line}\n{SINK}"));
        assert_eq!(problems.len(), 1, "{line}: {problems:?}");
        assert!(!problems[0].contains("geheim"), "{problems:?}");
    }
}

#[test]
fn a_file_is_found_from_the_folder_of_the_configuration() {
    let folder = Folder::with(format!("[source]\nslot = \"${{file:names/slot}}\"\n{SINK}"));
    std::fs::create_dir(folder.path("names")).expect("made");
    folder.write("names/slot", "mine\r\n");
    assert_eq!(
        folder.load().expect("valid").config.source.slot.as_str(),
        "mine"
    );
    folder.write("names/slot", "x".repeat(70_000));
    assert!(
        folder
            .load()
            .expect_err("large")
            .to_string()
            .contains("is larger than 64 KiB")
    );
    folder.write("names/slot", b"\xff");
    assert!(
        folder
            .load()
            .expect_err("bytes")
            .to_string()
            .contains("is not UTF-8")
    );
}

#[test]
fn only_values_are_templates() {
    assert!(!problems(format!("[\"${{YES}}\"]\n{SINK}")).is_empty());
    assert!(read(format!("# ${{NOPE}}\n{SINK}")).is_ok());
}

#[test]
fn a_template_is_shown_as_it_is_written() {
    let folder = Folder::with(format!("[source]\nurl = \"${{file:url}}\"\n{SINK}"));
    folder.write("url", "postgres://app:geheim@h/d\n");
    let page = explain(&folder.load().expect("valid"));
    assert!(page.contains("source.url = \"${file:url}\""), "{page}");
    assert!(
        page.contains(":2, file url") && !page.contains("geheim"),
        "{page}"
    );
}
