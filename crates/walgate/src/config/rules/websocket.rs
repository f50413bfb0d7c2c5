//! Rules of a sink of type `websocket`.

use std::collections::BTreeMap;

use super::Rules;
use super::http::check_listen;
use crate::config::{
    Config, PushAlgorithm, PushDelivery, PushJwt, PushPolicy, Secret, Sink, Websocket,
};

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

/// Whether what comes from an address is what who is there has sent.
fn is_private(url: Option<&str>) -> bool {
    let Some(url) = url else { return false };
    if url.starts_with("https://") {
        return true;
    }
    let place = url.strip_prefix("http://").unwrap_or_default();
    let place = place.split('/').next().unwrap_or_default();
    is_loopback(place) || is_loopback(&format!("{place}:80"))
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
            PushPolicy::Token if push.knows_nobody() => {
                let message = format!("`sinks.{name}` has no token: nobody could connect");
                let hint = "give tokens = { NAME = { sha256 = \"…\" } }, jwt, or subjects";
                self.refuse(&path, message, hint);
            }
            PushPolicy::Open if !push.subjects.is_empty() => {
                let message =
                    format!("`sinks.{name}.subjects` is never used with policy = \"open\"");
                let hint = "say policy = \"token\"";
                self.refuse(&["sinks", name, "subjects"], message, hint);
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
        self.push_tokens(name, push);
        self.push_rules(name, push);
        self.push_jwt(name, &push.jwt);
        self.push_subjects(name, push);
    }

    fn push_tokens(&mut self, name: &str, push: &Websocket) {
        let path = ["sinks", name, "tokens"];
        let make = "make one: TOKEN=$(openssl rand -hex 32); printf %s \"$TOKEN\" | sha256sum";
        let mut hashes = BTreeMap::new();
        for (subject, token) in &push.tokens {
            if let Err(problem) = token.read(subject) {
                let message = format!("`sinks.{name}.tokens.{subject}`: {problem}");
                self.refuse(&path, message, make);
            }
            if let Some(other) = hashes.insert(token.sha256.to_ascii_lowercase(), subject) {
                let message = format!(
                    "`sinks.{name}.tokens`: {other} and {subject} have the same token, so that nobody \
                     can tell whose rights hold"
                );
                self.refuse(&path, message, make);
            }
        }
    }

    fn push_subjects(&mut self, name: &str, push: &Websocket) {
        let path = ["sinks", name, "subjects"];
        for (subject, text) in &push.subjects {
            if let Err(problem) = text.read(subject) {
                let message = format!("`sinks.{name}.subjects.{subject:?}`: {problem}");
                let hint =
                    "write it as \"NAME OF THE CERTIFICATE\" = { tables = [\"schema.table\"] }";
                self.refuse(&path, message, hint);
            }
        }
        let problem = match (!push.subjects.is_empty(), push.client_ca.is_some()) {
            (false, false) => return,
            (true, true) if push.tls_cert.is_some() => return,
            (true, true) => "takes certificates of clients, which nobody can show without TLS",
            (true, false) => {
                "has subjects, and no client_ca that says whose certificates are right"
            }
            (false, true) => "has a client_ca, and no subjects: its certificates open nothing",
        };
        let message = format!("`sinks.{name}` {problem}");
        let hint = "give tls_cert, tls_key, client_ca = \"…\" and subjects = { \"NAME\" = {} }";
        self.refuse(&path, message, hint);
    }

    fn push_jwt(&mut self, name: &str, jwt: &PushJwt) {
        let path = ["sinks", name, "jwt"];
        let given = [jwt.secret.is_some(), jwt.key.is_some(), jwt.jwks.is_some()];
        let is_url = jwt.jwks.as_deref().is_some_and(|jwks| jwks.contains("://"));
        let problem = match (jwt.algorithm, given) {
            (None, [false, false, false]) => return,
            (None, _) => "has no algorithm",
            (Some(PushAlgorithm::Hs256), [true, false, false]) => {
                match jwt.secret.as_ref().map_or("", Secret::expose).len() {
                    0..32 => "has a secret that can be guessed: it has less than 32 bytes",
                    _ => return,
                }
            }
            (Some(PushAlgorithm::Hs256), _) => "needs a secret, and nothing else, for HS256",
            (Some(_), [false, true, false]) => return,
            (Some(_), [false, false, true]) if is_url && !is_private(jwt.jwks.as_deref()) => {
                "reads its keys over an address that anybody on the way can answer for"
            }
            (Some(_), [false, false, true]) => return,
            (Some(_), _) => "needs key or jwks, one of them, and no secret",
        };
        let message = format!("`sinks.{name}.jwt` {problem}");
        let hint = "give algorithm = \"RS256\" and jwks = \"https://…\", or algorithm = \"HS256\" and a secret";
        self.refuse(&path, message, hint);
    }

    fn push_rules(&mut self, name: &str, push: &Websocket) {
        for (rule, text) in &push.access_rules {
            if let Err(problem) = text.read() {
                let message = format!("`sinks.{name}.access_rules.{rule}`: {problem}");
                let hint =
                    "write it as { tables = [\"schema.table\"], where = \"team = claims.team\" }";
                self.refuse(&["sinks", name, "access_rules"], message, hint);
            }
        }
        if push.policy() == PushPolicy::Open && !push.access_rules.is_empty() {
            let message =
                format!("`sinks.{name}.access_rules` is never used with policy = \"open\"");
            let hint = "say policy = \"token\", and give tokens";
            self.refuse(&["sinks", name, "access_rules"], message, hint);
        }
    }
}
