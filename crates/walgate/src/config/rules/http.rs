//! Rules of `[http]` and `[watch]`.

use super::Rules;
use crate::config::Config;

/// A shorter token can be guessed.
const LEAST_TOKEN_BYTES: usize = 16;

impl Rules<'_> {
    pub(super) fn watch(&mut self, config: &Config) {
        let command = config.watch.free_space_command.as_ref();
        let program = command.and_then(|words| words.first());
        if program.is_some_and(|program| program.trim().is_empty()) {
            self.refuse(
                &["watch", "free_space_command"],
                "`watch.free_space_command` has an empty program",
                "write [\"program\", \"argument\", …]",
            );
        }
    }

    pub(super) fn http(&mut self, config: &Config) {
        let http = &config.http;
        let example = "write address:port, such as \"127.0.0.1:9464\" or \"[::]:9464\"";
        if let Some(listen) = &http.listen
            && let Err(problem) = check_listen(listen)
        {
            let message = format!("`http.listen` {problem}: {listen:?}");
            self.refuse(&["http", "listen"], message, example);
        }
        let others = [
            ("token", http.token.is_some()),
            ("tls_cert", http.tls_cert.is_some()),
            ("tls_key", http.tls_key.is_some()),
        ];
        for (key, _) in others.iter().filter(|(_, given)| *given) {
            if http.listen.is_none() {
                let message = format!("`http.{key}` is never used without `http.listen`");
                self.refuse(&["http", key], message, example);
            }
        }
        if http.tls_cert.is_some() != http.tls_key.is_some() {
            self.refuse(
                &["http"],
                "`http` needs both `tls_cert` and `tls_key`, or none",
                "a certificate is of no use without its key",
            );
        }
        let token = http.token.as_ref().map(|token| token.expose());
        let short = token.is_some_and(|token| token.trim().len() < LEAST_TOKEN_BYTES);
        if short || token.is_some_and(|token| token.trim().chars().any(|c| !c.is_ascii_graphic())) {
            let message =
                format!("`http.token` is no token of {LEAST_TOKEN_BYTES} printable characters");
            self.refuse(
                &["http", "token"],
                message,
                "make one: openssl rand -hex 32",
            );
        }
    }
}

/// `address:port` or `name:port`, with an IPv6 address in brackets.
pub(super) fn check_listen(listen: &str) -> Result<(), &'static str> {
    if listen.parse::<std::net::SocketAddr>().is_ok() {
        return Ok(());
    }
    let (host, port) = listen.rsplit_once(':').ok_or("has no port")?;
    if port.parse::<u16>().is_err() {
        return Err("has no port between 0 and 65535");
    }
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    match host.is_empty() || !host.chars().all(name) {
        true => Err("has no address"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_a_port() {
        for listen in [
            "127.0.0.1:9464",
            "0.0.0.0:0",
            "[::]:9464",
            "[fe80::1]:80",
            "localhost:9464",
            "walgate-0.walgate:9464",
        ] {
            assert_eq!(check_listen(listen), Ok(()), "{listen}");
        }
        for listen in [
            "9464",
            ":9464",
            "localhost",
            "a b:1",
            "::1:99999",
            "h:70000",
            "h:",
        ] {
            assert!(check_listen(listen).is_err(), "{listen}");
        }
    }
}
