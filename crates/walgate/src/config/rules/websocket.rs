//! Rules of a sink of type `websocket`.

use walgate_sink_websocket::Token;

use super::Rules;
use super::http::check_listen;
use crate::config::{Config, PushDelivery, PushPolicy, Sink, Websocket};

/// The host of an address.
fn host(listen: &str) -> &str {
    listen.rsplit_once(':').map_or(listen, |(host, _)| host)
}

/// Whether only this machine reaches it.
fn is_loopback(listen: &str) -> bool {
    let host = host(listen).trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl Rules<'_> {
    pub(super) fn websocket(&mut self, config: &Config, name: &str, sink: &Sink, push: &Websocket) {
        self.push_address(config, name, push);
        self.push_policy(name, push);
        if push.delivery == PushDelivery::Resumable && config.journal.path.is_none() {
            let message = format!(
                "`sinks.{name}.delivery = \"resumable\"` needs a journal on disk: what clients resume from"
            );
            self.refuse(
                &["sinks", name, "delivery"],
                message,
                "give the journal a folder ([journal] path), or say delivery = \"live-only\"",
            );
        }
        for (key, given) in [
            ("transactions", sink.transactions),
            ("schema_events", sink.schema_events),
        ] {
            if given {
                let message =
                    format!("`sinks.{name}.{key}` is nothing for a sink of type websocket");
                let hint = "leave it out: each client asks for transactions itself";
                self.refuse(&["sinks", name, key], message, hint);
            }
        }
        if push.tls_cert.is_some() != push.tls_key.is_some() {
            let message = format!("`sinks.{name}` has only one of tls_cert and tls_key");
            self.refuse(&["sinks", name], message, "give both, or none");
        }
    }

    fn push_address(&mut self, config: &Config, name: &str, push: &Websocket) {
        let path = ["sinks", name, "listen"];
        if let Err(problem) = check_listen(&push.listen) {
            let message = format!("`sinks.{name}.listen` {problem}: {:?}", push.listen);
            let example = "write address:port, such as \"127.0.0.1:9465\" or \"[::]:9465\"";
            return self.refuse(&path, message, example);
        }
        let others = config.sinks.iter().filter(|(other, _)| *other != name);
        let mut listening = others.filter_map(|(_, sink)| match &sink.destination {
            crate::config::Destination::Websocket(push) => Some(&push.listen),
            _ => None,
        });
        let taken = listening.any(|listen| *listen == push.listen)
            || config.http.listen.as_ref() == Some(&push.listen);
        if taken && !push.listen.ends_with(":0") {
            let message =
                format!("`sinks.{name}.listen` is an address that something else listens on");
            self.refuse(&path, message, "give each a port of its own");
        }
    }

    fn push_policy(&mut self, name: &str, push: &Websocket) {
        let path = ["sinks", name, "policy"];
        let elsewhere = !is_loopback(&push.listen);
        match push.policy() {
            PushPolicy::Open if elsewhere && !push.insecure => {
                let message = format!(
                    "`sinks.{name}` would show every change to everybody who reaches {}",
                    push.listen
                );
                self.refuse(
                    &path,
                    message,
                    "use policy = \"token\"; or, where that is meant, insecure = true",
                );
            }
            PushPolicy::Open if !push.tokens.is_empty() => {
                let message = format!("`sinks.{name}.tokens` is never used with policy = \"open\"");
                self.refuse(
                    &["sinks", name, "tokens"],
                    message,
                    "say policy = \"token\"",
                );
            }
            PushPolicy::Token if push.tokens.is_empty() => {
                let message = format!("`sinks.{name}` has no token: nobody could connect");
                let hint = "give tokens = { NAME = { sha256 = \"…\" } }";
                self.refuse(&path, message, hint);
            }
            PushPolicy::Token if elsewhere && push.tls_cert.is_none() && !push.insecure => {
                let message = format!("`sinks.{name}` would take tokens in clear text");
                self.refuse(
                    &path,
                    message,
                    "give tls_cert and tls_key; or, behind a proxy that does TLS, insecure = true",
                );
            }
            PushPolicy::Open | PushPolicy::Token => {}
        }
        for (subject, token) in &push.tokens {
            if let Err(problem) = Token::new(subject, &token.sha256, &token.tables) {
                let message = format!("`sinks.{name}.tokens.{subject}`: {problem}");
                let hint =
                    "make one: TOKEN=$(openssl rand -hex 32); printf %s \"$TOKEN\" | sha256sum";
                self.refuse(&["sinks", name, "tokens"], message, hint);
            }
        }
    }
}
