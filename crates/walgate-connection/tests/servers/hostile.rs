//! What a server, a pooler or a man in the middle may do to a client.

use std::time::Duration;

use walgate_connection::ConnectError;

use crate::scripted::{Script, Scripted, Tls, message, ready};
use crate::server::{failure, parse, parse_with};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A server that answers the request for TLS with these bytes.
async fn negotiating(answer: &[u8]) -> Scripted {
    Scripted::start(Script::Raw(answer.to_vec())).await
}

#[tokio::test]
async fn require_never_falls_back_to_plain_text() {
    for answer in [&b"N"[..], b"E\0\0\0\x09Mhunter2\0\0", b"H", b"\0"] {
        for mode in ["require", "verify-ca", "verify-full"] {
            let server = negotiating(answer).await;
            let ca = crate::server::ca();
            let more = format!(
                "sslmode={mode} password=hunter2 sslrootcert={}",
                ca.display()
            );
            let (error, text) = failure(&parse(&server.text(&more))).await;
            assert!(matches!(error, ConnectError::Tls(_)), "{mode}: {text}");
            let received = server.received();
            assert!(
                received.chunks(8).all(|chunk| chunk == SSL_REQUEST),
                "nothing but requests for tls may be sent: {received:?}"
            );
        }
    }
}

#[tokio::test]
async fn plain_text_injected_after_the_answer_is_not_believed() {
    let injected = [&b"S"[..], &ready(&[])].concat();
    let server = negotiating(&injected).await;
    let (error, text) = failure(&parse(&server.text("sslmode=require"))).await;
    assert!(matches!(error, ConnectError::Tls(_)), "{text}");
}

#[tokio::test]
async fn prefer_takes_no_for_an_answer() {
    let answer = [&b"N"[..], &ready(&[("server_version", "15.0")])].concat();
    let server = negotiating(&answer).await;
    let stream = parse(&server.text("sslmode=prefer"))
        .connect_replication(&[])
        .await;
    let stream = stream.expect("connected in plain text");
    assert!(stream.tls().is_none());
    assert_eq!(
        stream
            .parameters()
            .get("server_version")
            .map(String::as_str),
        Some("15.0")
    );
    assert_eq!(stream.backend_pid(), 7);
}

#[tokio::test]
async fn direct_negotiation_insists_on_the_protocol_name() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate");
    let tls = Tls {
        certificate: certificate.der().clone(),
        key: key.serialize_der(),
        alpn: false,
    };
    let server = Scripted::encrypted(tls).await;
    let direct = "sslmode=require sslnegotiation=direct";
    let (error, text) = failure(&parse(&server.text(direct))).await;
    assert!(matches!(error, ConnectError::Tls(_)), "{text}");
}

#[tokio::test]
async fn start_ups_that_break_the_protocol() {
    let ok = message(b'R', &[0; 4]);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        (
            "a web server",
            vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()],
        ),
        ("a negative length", vec![b"R\xff\xff\xff\xff".to_vec()]),
        ("a length below 4", vec![b"R\0\0\0\x03".to_vec()]),
        ("a length of 2 GiB", vec![b"R\x7f\xff\xff\xff".to_vec()]),
        (
            "an authentication request without a code",
            vec![message(b'R', &[0, 0])],
        ),
        (
            "an unknown message",
            vec![[ok.clone(), message(b'!', b"")].concat()],
        ),
        (
            "a row before the session is ready",
            vec![[ok.clone(), message(b'D', b"")].concat()],
        ),
        ("ready before authentication", vec![message(b'Z', b"I")]),
        (
            "a parameter without its end",
            vec![[ok.clone(), message(b'S', b"name\0val")].concat()],
        ),
        (
            "a key that is cut off",
            vec![[ok.clone(), message(b'K', b"\0")].concat()],
        ),
        (
            "a salt that is cut off",
            vec![message(b'R', b"\0\0\0\x05ab")],
        ),
        ("kerberos", vec![message(b'R', b"\0\0\0\x07")]),
        ("an unknown method", vec![message(b'R', b"\0\0\xff\xff")]),
        (
            "an unknown mechanism",
            vec![message(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0")],
        ),
        (
            "two requests",
            vec![message(b'R', b"\0\0\0\x03"), message(b'R', b"\0\0\0\x03")],
        ),
    ];
    refuse(cases).await;
}

#[tokio::test]
async fn scram_that_breaks_the_protocol() {
    let sasl = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    let challenge = |text: &str| message(b'R', &[&b"\0\0\0\x0b"[..], text.as_bytes()].concat());
    let ok = message(b'R', &[0; 4]);
    let cases = vec![
        ("SCRAM that skips the proof", vec![sasl.clone(), ok.clone()]),
        (
            "SCRAM without iterations",
            vec![sasl.clone(), challenge("r=x,s=c2FsdA==")],
        ),
        (
            "SCRAM with endless work",
            vec![sasl.clone(), challenge("r=x,s=c2FsdA==,i=4294967295")],
        ),
        (
            "SCRAM with a nonce that is not ours",
            vec![sasl, challenge("r=x,s=c2FsdA==,i=4096")],
        ),
    ];
    refuse(cases).await;
}

/// Each script must end in a refusal of ours.
async fn refuse(cases: Vec<(&str, Vec<Vec<u8>>)>) {
    for (name, pieces) in cases {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let server = Scripted::answering(&pieces).await;
        let config = parse(&server.text("sslmode=disable password=hunter2"));
        let (error, text) = failure(&config).await;
        assert!(
            matches!(
                error,
                ConnectError::Protocol { .. } | ConnectError::Auth { .. }
            ),
            "{name}: {text}"
        );
    }
}

#[tokio::test]
async fn a_start_up_cut_at_every_byte() {
    let whole = ready(&[("server_version", "15.0")]);
    for end in 0..whole.len() {
        let server = Scripted::start(Script::Answers(vec![whole[..end].to_vec()])).await;
        // The script does not hang up, so the time limit ends it: the stream must not be believed.
        let config = parse(&server.text("sslmode=disable connect_timeout=1"));
        let connected =
            tokio::time::timeout(Duration::from_millis(20), config.connect_replication(&[])).await;
        assert!(connected.is_err(), "cut at {end}");
    }
}

#[tokio::test]
async fn endless_start_ups_are_ended() {
    let parameter = message(b'S', &[&[b'x'; 60_000][..], b"\0value\0"].concat());
    let notice = message(b'N', b"SNOTICE\0Mhello\0\0");
    for piece in [parameter, notice] {
        let bytes = [message(b'R', &[0; 4]), piece].concat();
        let server = Scripted::start(Script::Endless(bytes)).await;
        let (error, text) = failure(&parse(&server.text("sslmode=disable"))).await;
        assert!(matches!(error, ConnectError::Protocol { .. }), "{text}");
    }
}

#[tokio::test]
async fn a_pooler_that_refuses_replication() {
    let refusal = message(
        b'E',
        b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: replication\0\0",
    );
    let server = Scripted::answering(&[&refusal]).await;
    let config = parse(&server.text("sslmode=disable"));
    let error = config.connect_replication(&[]).await.expect_err("refused");
    assert_eq!(error.server().expect("a refusal").severity, "FATAL");
    assert!(error.hint().expect("hint").contains("own endpoint"));
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Scripted::start(Script::Silent).await;
    for mode in ["disable", "prefer", "require"] {
        let config = parse(&server.text(&format!("sslmode={mode} connect_timeout=1")));
        let error = config
            .connect_replication(&[])
            .await
            .expect_err("no answer");
        assert!(
            matches!(error, ConnectError::Timeout { .. }),
            "{mode}: {error}"
        );
    }
}

#[tokio::test]
async fn the_start_up_message_holds_what_it_should() {
    let server = Scripted::answering(&[&ready(&[])]).await;
    let text = server.text("sslmode=disable dbname=app application_name=a options='-c geqo=off'");
    let config = parse_with(&text, &[("PGPASSWORD", "hunter2")]);
    let settings = [
        ("options", "-c lock_timeout=1"),
        ("DateStyle", "ISO"),
        ("application_name", "walgate"),
    ];
    config
        .connect_replication(&settings)
        .await
        .expect("connected");
    let received = server.received();
    let shown = String::from_utf8_lossy(&received);
    for expected in [
        "user\0trust_user\0",
        "database\0app\0",
        "replication\0database\0",
        "client_encoding\0UTF8\0",
        "DateStyle\0ISO\0",
        "application_name\0walgate\0",
        "options\0-c geqo=off -c lock_timeout=1\0",
    ] {
        assert!(shown.contains(expected), "{expected:?} in {shown:?}");
    }
    assert!(!shown.contains("hunter2"));
    let error = config
        .connect_sql(&[("DateStyle", "a\0b")])
        .await
        .expect_err("refused");
    assert!(matches!(error, ConnectError::Config(_)), "{error}");
}
