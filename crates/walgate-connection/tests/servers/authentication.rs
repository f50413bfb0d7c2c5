//! Every way of logging in, and every way of being refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use walgate_connection::ConnectError;

use crate::server::{
    PASSWORD, failure, literal, parse, parse_with, server, text, who, with_password,
};

#[tokio::test]
async fn trust_md5_scram_and_clear_text() {
    for user in ["trust_user", "md5_user", "scram_user", "clear_user"] {
        for mode in ["disable", "require"] {
            let config = with_password(user, &format!("sslmode={mode}"));
            assert_eq!(who(&config).await.expect(user), user, "{mode}");
        }
    }
}

#[tokio::test]
async fn a_socket_of_the_unix_domain() {
    let folder = server().socket_dir();
    let (folder, port) = (folder.display(), server().port());
    let key_values = format!("host={folder} port={port} user=trust_user dbname=postgres");
    let encoded = folder.to_string().replace('/', "%2F");
    let url = format!("postgres://trust_user@{encoded}:{port}/postgres?sslmode=verify-full");
    for text in [key_values, url] {
        let config = parse(&text);
        assert_eq!(who(&config).await.expect("connected"), "trust_user");
        let stream = config.connect_replication(&[]).await.expect("connected");
        assert!(!stream.is_tcp() && stream.tls().is_none());
        assert!(
            stream.endpoint().ends_with(&format!("/.s.PGSQL.{port}")),
            "{}",
            stream.endpoint()
        );
    }
}

#[tokio::test]
async fn a_wrong_password_names_where_it_came_from() {
    let config = parse_with(&text("scram_user", ""), &[("PGPASSWORD", "hunter2 wrong")]);
    let (error, text) = failure(&config).await;
    assert_eq!(
        error.server().expect("the server refused").sqlstate,
        "28P01",
        "{text}"
    );
    assert!(text.contains("PGPASSWORD"), "{text}");
}

#[tokio::test]
async fn a_missing_password_names_the_ignored_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("pgpass");
    fs::write(&path, "*:*:*:*:hunter2\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    let config = parse(&text("md5_user", &format!("passfile={}", path.display())));
    let (error, text) = failure(&config).await;
    assert!(matches!(error, ConnectError::Auth { .. }), "{text}");
    assert!(
        text.contains("0644") && text.contains("PGPASSWORD"),
        "{text}"
    );
}

#[tokio::test]
async fn the_password_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join(".pgpass");
    let escaped = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    fs::write(
        &path,
        format!("# mine\nlocalhost:*:postgres:scram_user:{escaped}\n"),
    )
    .expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    let home = folder.path().to_str().expect("utf-8");
    let config = parse_with(&text("scram_user", ""), &[("HOME", home)]);
    assert_eq!(who(&config).await.expect("connected"), "scram_user");
    let named = [("PGPASSFILE", path.to_str().expect("utf-8"))];
    let config = parse_with(&text("scram_user", ""), &named);
    assert_eq!(who(&config).await.expect("connected"), "scram_user");
}

#[tokio::test]
async fn the_password_command_is_run_for_every_connection() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("token");
    let set = |password: &str| {
        fs::write(&path, format!("{password}\n")).expect("written");
        let sql = format!("ALTER ROLE rotated_user PASSWORD {}", literal(password));
        server().sql(&sql).expect("altered");
    };
    let command = vec!["cat".to_owned(), path.display().to_string()];
    let config = with_password("rotated_user", "").with_password_command(command);
    set("first-hunter2");
    assert_eq!(who(&config).await.expect("connected"), "rotated_user");
    set("second-hunter2");
    assert_eq!(who(&config).await.expect("connected"), "rotated_user");
    fs::write(&path, "stale-hunter2\n").expect("written");
    let (error, text) = failure(&config).await;
    assert_eq!(error.server().expect("refused").sqlstate, "28P01");
    assert!(text.contains("password command cat"), "{text}");
    fs::remove_file(&path).expect("removed");
    let (error, text) = failure(&config).await;
    assert!(
        matches!(error, ConnectError::PasswordCommand { .. }),
        "{text}"
    );
    assert!(text.contains("No such file"), "stderr is shown: {text}");
}

#[tokio::test]
async fn refusals_and_their_remedies() {
    for (user, more, sqlstate, remedy) in [
        ("nologin_user", "", "28000", "LOGIN"),
        ("nobody_here", "", "28000", "pg_hba.conf"),
        ("scram_user", "dbname=missing", "3D000", "\"missing\""),
        ("plain_only_user", "sslmode=require", "28000", "pg_hba.conf"),
        (
            "tls_only_user",
            "sslmode=disable",
            "28000",
            "sslmode=require",
        ),
    ] {
        // The last rule of the server trusts everybody: a role that does not exist gets that far.
        let (error, text) = failure(&with_password(user, more)).await;
        let server = error.server().unwrap_or_else(|| panic!("{user}: {text}"));
        assert_eq!(server.sqlstate, sqlstate, "{user}: {text}");
        if user != "nobody_here" {
            assert!(text.contains(remedy), "{user}: {text}");
        }
    }
}

#[tokio::test]
async fn a_role_without_replication() {
    let config = parse(&text("plain_user", ""));
    config.connect_sql(&[]).await.expect("sql is allowed");
    let error = config
        .connect_replication(&[])
        .await
        .expect_err("replication is not");
    assert_eq!(error.server().expect("refused").sqlstate, "42501");
    let hint = error.hint().expect("hint");
    assert!(
        hint.contains("rds_replication") && hint.contains("\"plain_user\""),
        "{hint}"
    );
}

#[tokio::test]
async fn channel_binding() {
    for (user, more) in [
        ("scram_user", "channel_binding=require sslmode=require"),
        ("scram_user", "channel_binding=prefer sslmode=require"),
        ("scram_user", "channel_binding=disable sslmode=require"),
        (
            "scram_user",
            "channel_binding=require sslmode=require ssl_max_protocol_version=TLSv1.2",
        ),
    ] {
        assert_eq!(who(&with_password(user, more)).await.expect(more), user);
    }
    for (user, more) in [
        ("scram_user", "channel_binding=require sslmode=disable"),
        ("trust_user", "channel_binding=require sslmode=require"),
        ("md5_user", "channel_binding=require sslmode=require"),
        ("clear_user", "channel_binding=require sslmode=require"),
    ] {
        let (error, text) = failure(&with_password(user, more)).await;
        assert!(
            matches!(error, ConnectError::Auth { .. }),
            "{user} {more}: {text}"
        );
        assert!(text.contains("channel_binding=require"), "{text}");
    }
}

#[tokio::test]
async fn required_methods() {
    let scram = "require_auth=scram-sha-256";
    assert_eq!(
        who(&with_password("scram_user", scram))
            .await
            .expect("allowed"),
        "scram_user"
    );
    for user in ["trust_user", "md5_user", "clear_user"] {
        let (error, text) = failure(&with_password(user, scram)).await;
        assert!(matches!(error, ConnectError::Auth { .. }), "{user}: {text}");
        assert!(text.contains("require_auth"), "{text}");
    }
}
