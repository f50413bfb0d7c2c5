use proptest::prelude::*;

use super::parse;
use crate::config_error::ConfigError;

const NAMES: [&str; 8] = [
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "options",
    "application_name",
];

/// All values of a text, as `name=value` joined with spaces.
fn values(text: &str) -> String {
    let parameters = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let pairs = NAMES
        .iter()
        .filter_map(|name| Some(format!("{name}={}", parameters.get(name)?)));
    pairs.collect::<Vec<_>>().join(" ")
}

fn refusal(text: &str) -> ConfigError {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error,
    }
}

#[test]
fn urls_of_libpqs_documentation() {
    for (url, expected) in [
        ("postgresql://", ""),
        ("postgresql://localhost", "host=localhost"),
        ("postgresql://localhost:5433", "host=localhost port=5433"),
        ("postgresql://localhost/mydb", "host=localhost dbname=mydb"),
        ("postgresql://user@localhost", "host=localhost user=user"),
        (
            "postgresql://user:secret@localhost",
            "host=localhost user=user password=secret",
        ),
        (
            "postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
            "host=localhost user=other dbname=otherdb application_name=myapp",
        ),
        (
            "postgresql://host1:123,host2:456/somedb",
            "host=host1,host2 port=123,456 dbname=somedb",
        ),
        (
            "postgresql://host1:123,host2:456/somedb?target_session_attrs=any",
            "host=host1,host2 port=123,456 dbname=somedb",
        ),
        (
            "postgresql:///mydb?host=localhost&port=5433",
            "host=localhost port=5433 dbname=mydb",
        ),
        (
            "postgresql://[2001:db8::1234]/database",
            "host=2001:db8::1234 dbname=database",
        ),
        (
            "postgresql://[::1]:5433,[::2]/db",
            "host=::1,::2 port=5433, dbname=db",
        ),
        (
            "postgresql:///dbname?host=/var/lib/postgresql",
            "host=/var/lib/postgresql dbname=dbname",
        ),
        (
            "postgresql://%2Fvar%2Flib%2Fpostgresql/dbname",
            "host=/var/lib/postgresql dbname=dbname",
        ),
        (
            "postgresql://user@localhost:5433/mydb?options=-c%20synchronous_commit%3Doff",
            "host=localhost port=5433 user=user dbname=mydb options=-c synchronous_commit=off",
        ),
        (
            "postgres://h?sslmode=verify-full",
            "host=h sslmode=verify-full",
        ),
        ("postgres://h?ssl=true", "host=h sslmode=require"),
        ("postgres://h/?user=u&dbname=d", "host=h user=u dbname=d"),
        ("postgres://h:/d", "host=h dbname=d"),
        ("  postgres://h/d \n", "host=h dbname=d"),
        ("postgres://:pw@h", "host=h password=pw"),
        ("postgres://u%40corp@h", "host=h user=u@corp"),
        ("postgres://h/a%2Fb", "host=h dbname=a/b"),
        ("postgres://h/a/b", "host=h dbname=a/b"),
    ] {
        assert_eq!(values(url), expected, "{url}");
    }
}

#[test]
fn a_password_with_every_awkward_character() {
    assert_eq!(
        values("postgres://u:%40%3A%2F%25%23%3F%20%27@h"),
        "host=h user=u password=@:/%#? '"
    );
    // What needs no encoding by libpq's rules.
    assert_eq!(
        values("postgres://u:a:b#c?d&e=f@h"),
        "host=h user=u password=a:b#c?d&e=f"
    );
}

#[test]
fn a_url_that_is_wrong_is_refused_without_showing_the_password() {
    for url in [
        "postgres://u:hunter2%00@h",
        "postgres://u:hunter2%@h",
        "postgres://u:hunter2%4@h",
        "postgres://u:hunter2%zz@h",
        "postgres://u:hunter2%ff@h",
        "postgres://u:hun/ter2@h/db",
        "postgres://u:hun@ter2@h/db",
        "postgres://u:hun ter2@h",
        "postgres://u:hunter2\0@h",
        "postgres://u:hunter2@[::1",
        "postgres://u:hunter2@[::1]x",
        "postgres://u:hunter2@::1",
        "postgres://u:hunter2@h?sslmode",
        "postgres://u:hunter2@h?a=b=c",
        "postgres://u:hunter2@h?nonsense=1",
        "postgres://u:hunter2@h?requirepeer=x",
        "mysql://u:hunter2@h/db",
        "jdbc:postgresql://h/db?password=hunter2",
    ] {
        let error = refusal(url);
        let text = format!("{error} {:?} {:?}", error.hint(), error);
        assert!(
            !text.contains("hunter2") && !text.contains("ter2"),
            "{url:?}: {text}"
        );
    }
    let hint = refusal("postgres://u:a/b@h/db").hint().expect("hint");
    assert!(hint.contains("%2F"), "{hint}");
}

#[test]
fn key_value_texts() {
    for (text, expected) in [
        ("", ""),
        ("  \n\t ", ""),
        (
            "host=localhost port=5432 dbname=mydb",
            "host=localhost port=5432 dbname=mydb",
        ),
        ("host = localhost\nuser= me", "host=localhost user=me"),
        ("password='it\\'s \\\\ here'", "password=it's \\ here"),
        ("password='' user=me", "user=me"),
        ("password=a\\ b user=me", "user=me password=a b"),
        ("password=a'b user=me", "user=me password=a'b"),
        ("password='a b'user=me", "user=me password=a b"),
        ("user=a user=b", "user=b"),
        ("options='-c geqo=off'", "options=-c geqo=off"),
        ("user=", ""),
        ("host=a,b port=1,2", "host=a,b port=1,2"),
        ("user=über", "user=über"),
    ] {
        assert_eq!(values(text), expected, "{text:?}");
    }
}

#[test]
fn key_value_texts_that_are_wrong() {
    for (text, position) in [
        ("host", 1),
        ("host=h user", 8),
        ("host=h password=hun ter2", 21),
    ] {
        let error = refusal(text);
        assert!(
            error
                .to_string()
                .ends_with(&format!("character {position}")),
            "{text}: {error}"
        );
        assert!(!error.to_string().contains("ter2"), "{error}");
    }
    for text in [
        "password='hunter2",
        "password='hunter2\\'",
        "=x",
        "password=hunter2\0",
    ] {
        let error = format!("{:?}", refusal(text));
        assert!(!error.contains("hunter2"), "{error}");
    }
}

proptest! {
    #[test]
    fn a_quoted_value_comes_back_as_it_was(value in "[^\0]{1,40}") {
        let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
        let parameters = parse(&format!("user='{escaped}' host=h")).expect("valid");
        prop_assert_eq!(parameters.get("user"), Some(value.as_str()));
        prop_assert_eq!(parameters.get("host"), Some("h"));
    }

    #[test]
    fn an_encoded_password_comes_back_as_it_was(value in "[^\0]{1,40}") {
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let parameters = parse(&format!("postgres://u:{encoded}@h/d")).expect("valid");
        prop_assert_eq!(parameters.get("password"), Some(value.as_str()));
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*", scheme in "(postgres://|postgresql://)?") {
        drop(parse(&format!("{scheme}{text}")));
    }
}
