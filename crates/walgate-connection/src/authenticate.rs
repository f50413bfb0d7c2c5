//! Answering the server's authentication requests: password, MD5, SCRAM with channel binding.
//!
//! <https://www.postgresql.org/docs/current/sasl-authentication.html>

use bytes::Bytes;
use pgwire_replication::protocol::messages::{auth, parse_auth_request};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use crate::authentication_method::AuthenticationMethod;
use crate::config::ConnectionConfig;
use crate::error::ConnectError;
use crate::framing::{split_cstr, write_password};
use crate::password::Password;
use crate::setting::ChannelBindingMode;
use crate::startup::{Startup, unexpected};
use crate::tls::TlsInfo;
use crate::transport::Transport;

/// The work that a server may ask of us for one login. PostgreSQL's default is 4,096 rounds,
/// security guides go up to 600,000; a hostile server could ask for 4 billion, half an hour of CPU.
const MAX_SCRAM_ITERATIONS: u64 = 2_000_000;

/// Who we are, and what we accept.
pub(crate) struct Authenticator<'a> {
    pub(crate) config: &'a ConnectionConfig,
    pub(crate) password: &'a Password,
    pub(crate) tls: Option<&'a TlsInfo>,
}

impl Authenticator<'_> {
    /// Answers until the server says that it is satisfied.
    pub(crate) async fn authenticate(
        &self,
        stream: &mut Transport,
        startup: &mut Startup<'_>,
    ) -> Result<(), ConnectError> {
        let (code, data) = request(stream, startup).await?;
        let endpoint = startup.endpoint().to_owned();
        match code {
            auth::OK => {
                self.accept(&endpoint, AuthenticationMethod::None)?;
                return self.check_binding(&endpoint, false);
            }
            auth::CLEARTEXT_PASSWORD => {
                self.accept(&endpoint, AuthenticationMethod::Password)?;
                self.check_binding(&endpoint, false)?;
                self.send_text(stream, &endpoint, self.secret(&endpoint)?)
                    .await?;
            }
            auth::MD5_PASSWORD => {
                self.accept(&endpoint, AuthenticationMethod::Md5)?;
                self.check_binding(&endpoint, false)?;
                let Some((salt, _)) = data.split_first_chunk::<4>() else {
                    return Err(ConnectError::protocol(
                        &endpoint,
                        "the salt for MD5 is cut off",
                    ));
                };
                let secret = self.secret(&endpoint)?;
                let user = self.config.user.as_bytes();
                let answer = md5_hash(user, secret.as_bytes(), *salt);
                self.send_text(stream, &endpoint, &answer).await?;
            }
            auth::SASL => {
                self.accept(&endpoint, AuthenticationMethod::ScramSha256)?;
                self.scram(stream, startup, &data).await?;
            }
            code => return Err(refused(&endpoint, unsupported(code), None)),
        }
        match request(stream, startup).await? {
            (auth::OK, _) => Ok(()),
            (code, _) => {
                let problem = format!("a second authentication request ({code})");
                Err(ConnectError::protocol(&endpoint, problem))
            }
        }
    }

    async fn scram(
        &self,
        stream: &mut Transport,
        startup: &mut Startup<'_>,
        offered: &[u8],
    ) -> Result<(), ConnectError> {
        let endpoint = startup.endpoint().to_owned();
        let mechanisms = mechanisms(offered);
        let (mechanism, binding) = self.choose(&mechanisms);
        self.check_binding(&endpoint, mechanism == Some(SCRAM_SHA_256_PLUS))?;
        let Some(mechanism) = mechanism else {
            let problem = format!("the server offers only {}", mechanisms.join(", "));
            return Err(refused(
                &endpoint,
                problem,
                Some("use scram-sha-256 in pg_hba.conf"),
            ));
        };
        let secret = self.secret(&endpoint)?;
        let mut scram = ScramSha256::new(secret.as_bytes(), binding);
        let mut initial = Vec::with_capacity(128);
        initial.extend_from_slice(mechanism.as_bytes());
        initial.push(0);
        let length = i32::try_from(scram.message().len()).unwrap_or(i32::MAX);
        initial.extend_from_slice(&length.to_be_bytes());
        initial.extend_from_slice(scram.message());
        write_password(stream, &initial, &endpoint).await?;

        let challenge = sasl_step(stream, startup, auth::SASL_CONTINUE).await?;
        check_iterations(&challenge, &endpoint)?;
        // Thousands of hashes: not on a thread that other tasks wait for.
        let computed = tokio::task::spawn_blocking(move || {
            let result = scram.update(&challenge);
            (scram, result)
        });
        let (mut scram, result) = computed.await.map_err(|error| {
            ConnectError::protocol(&endpoint, format!("computing the SCRAM proof: {error}"))
        })?;
        result.map_err(|error| refused(&endpoint, format!("SCRAM: {error}"), None))?;
        write_password(stream, scram.message(), &endpoint).await?;

        let last = sasl_step(stream, startup, auth::SASL_FINAL).await?;
        scram.finish(&last).map_err(|error| {
            let problem = format!("the server could not prove that it knows the password: {error}");
            refused(&endpoint, problem, None)
        })
    }

    /// The mechanism to use, and what to tell the server about channel binding, which it checks
    /// against what it offered: this is how a downgrade by a man in the middle is found.
    fn choose(&self, mechanisms: &[String]) -> (Option<&'static str>, ChannelBinding) {
        let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
        let plain = offers(SCRAM_SHA_256).then_some(SCRAM_SHA_256);
        let hash = self.tls.and_then(|tls| tls.server_end_point.clone());
        match hash {
            Some(hash) if self.config.channel_binding != ChannelBindingMode::Disable => {
                if offers(SCRAM_SHA_256_PLUS) {
                    (
                        Some(SCRAM_SHA_256_PLUS),
                        ChannelBinding::tls_server_end_point(hash),
                    )
                } else {
                    (plain, ChannelBinding::unrequested())
                }
            }
            _ => (plain, ChannelBinding::unsupported()),
        }
    }

    fn accept(&self, endpoint: &str, method: AuthenticationMethod) -> Result<(), ConnectError> {
        let accepted = self.config.require_auth.as_ref();
        if accepted.is_none_or(|accepted| accepted.contains(&method)) {
            return Ok(());
        }
        let problem = format!(
            "the server asks for {}, require_auth forbids it",
            method.name()
        );
        Err(refused(endpoint, problem, None))
    }

    fn check_binding(&self, endpoint: &str, bound: bool) -> Result<(), ConnectError> {
        if bound || self.config.channel_binding != ChannelBindingMode::Require {
            return Ok(());
        }
        let problem = match self.tls {
            None => "channel_binding=require, but the connection is not encrypted",
            Some(tls) if tls.server_end_point.is_none() => {
                "channel_binding=require, but the signature of the server's certificate has no \
                 channel binding"
            }
            Some(_) => "channel_binding=require, but the server does not offer SCRAM-SHA-256-PLUS",
        };
        let hint = "channel binding needs sslmode=require or stronger, scram-sha-256 on the server \
             and no pooler in between";
        Err(refused(endpoint, problem, Some(hint)))
    }

    fn secret(&self, endpoint: &str) -> Result<&str, ConnectError> {
        self.password
            .secret
            .as_ref()
            .map(|secret| secret.expose())
            .ok_or_else(|| {
                let problem = format!(
                    "the server wants a password, which comes from {}",
                    self.password.origin
                );
                let hint = "set PGPASSWORD, password_command, or a line in ~/.pgpass (mode 0600)";
                refused(endpoint, problem, Some(hint))
            })
    }

    async fn send_text(
        &self,
        stream: &mut Transport,
        endpoint: &str,
        text: &str,
    ) -> Result<(), ConnectError> {
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.extend_from_slice(text.as_bytes());
        payload.push(0);
        write_password(stream, &payload, endpoint).await
    }
}

fn refused(endpoint: &str, problem: impl Into<String>, hint: Option<&str>) -> ConnectError {
    ConnectError::Auth {
        endpoint: endpoint.to_owned(),
        problem: problem.into(),
        hint: hint.map(str::to_owned),
    }
}

/// The next authentication request: its code and its data.
async fn request(
    stream: &mut Transport,
    startup: &mut Startup<'_>,
) -> Result<(i32, Bytes), ConnectError> {
    let message = startup.next(stream).await?;
    if message.tag != b'R' {
        return Err(unexpected(
            startup.endpoint(),
            message.tag,
            "authentication",
        ));
    }
    let parsed = parse_auth_request(&message.payload);
    let (code, data) =
        parsed.map_err(|error| ConnectError::protocol(startup.endpoint(), error.to_string()))?;
    Ok((code, message.payload.slice_ref(data)))
}

async fn sasl_step(
    stream: &mut Transport,
    startup: &mut Startup<'_>,
    expected: i32,
) -> Result<Bytes, ConnectError> {
    let (code, data) = request(stream, startup).await?;
    if code == expected {
        return Ok(data);
    }
    // AuthenticationOk here would be a server that skips its own proof.
    let problem = format!("authentication request {code} in the middle of SCRAM");
    Err(ConnectError::protocol(startup.endpoint(), problem))
}

fn mechanisms(mut data: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((name, rest)) = split_cstr(data) {
        if name.is_empty() {
            break;
        }
        names.push(String::from_utf8_lossy(name).into_owned());
        data = rest;
    }
    names
}

fn check_iterations(challenge: &[u8], endpoint: &str) -> Result<(), ConnectError> {
    let rounds = challenge
        .split(|byte| *byte == b',')
        .find_map(|part| part.strip_prefix(b"i="));
    let rounds = rounds.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
    match rounds {
        Some(1..=MAX_SCRAM_ITERATIONS) => Ok(()),
        Some(rounds) => {
            let problem =
                format!("SCRAM with {rounds} iterations, the limit is {MAX_SCRAM_ITERATIONS}");
            Err(refused(endpoint, problem, None))
        }
        None => Err(ConnectError::protocol(
            endpoint,
            "SCRAM without a number of iterations",
        )),
    }
}

fn unsupported(code: i32) -> String {
    let name = match code {
        2 => "Kerberos V5",
        6 => "SCM credentials",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => return format!("the server asks for the unknown method {code}"),
    };
    format!("the server asks for {name}, which is not supported")
}

#[cfg(test)]
mod tests {
    use super::{check_iterations, mechanisms};

    #[test]
    fn mechanism_lists_of_any_bytes() {
        assert_eq!(
            mechanisms(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
        );
        assert!(mechanisms(b"").is_empty());
        assert!(mechanisms(b"SCRAM").is_empty());
        assert!(mechanisms(b"\0SCRAM-SHA-256\0").is_empty());
    }

    #[test]
    fn the_work_for_a_server_is_bounded() {
        assert!(check_iterations(b"r=abc,s=c2FsdA==,i=4096", "db").is_ok());
        for bad in [
            &b"r=a,s=b,i=4294967295"[..],
            b"r=a,s=b,i=0",
            b"r=a,s=b",
            b"i=x",
            b"",
            b"i=-1",
        ] {
            assert!(
                check_iterations(bad, "db").is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }
}
