//! Connection strings: URLs and key/value pairs, by libpq's rules.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use crate::config_error::ConfigError;
use crate::parameter::Parameters;

const ENCODE: &str = "write special characters of user, password and names percent-encoded: \
     @ as %40, : as %3A, / as %2F, % as %25, # as %23, ? as %3F, space as %20";
const QUOTE: &str = "write parameter='value' and put a backslash before each ' and \\ in it";

/// Parses either form. An empty text is valid: everything then comes from the environment.
pub(crate) fn parse(text: &str) -> Result<Parameters, ConfigError> {
    if let Some(position) = text.find('\0') {
        return Err(syntax(text, position, "a NUL character", "remove it"));
    }
    let trimmed = text.trim_ascii();
    let lower = trimmed.get(..16).unwrap_or(trimmed).to_ascii_lowercase();
    if lower.starts_with("jdbc:") {
        return Err(syntax(
            text,
            0,
            "a JDBC URL",
            "write postgresql://user@host/dbname",
        ));
    }
    for scheme in ["postgresql://", "postgres://"] {
        if let Some(rest) = trimmed.strip_prefix(scheme) {
            return Url {
                whole: text,
                parameters: Parameters::default(),
            }
            .parse(rest);
        }
    }
    if lower.contains("://") {
        return Err(syntax(
            text,
            0,
            "an unknown scheme",
            "write postgresql://user@host/dbname",
        ));
    }
    KeyValues { text, rest: text }.parse()
}

fn syntax(text: &str, byte: usize, problem: &'static str, hint: &'static str) -> ConfigError {
    let position = text.get(..byte).map_or(0, |before| before.chars().count()) + 1;
    ConfigError::Syntax {
        position,
        problem,
        hint,
    }
}

struct KeyValues<'a> {
    text: &'a str,
    rest: &'a str,
}

impl KeyValues<'_> {
    fn parse(mut self) -> Result<Parameters, ConfigError> {
        let mut parameters = Parameters::default();
        loop {
            self.skip_space();
            if self.rest.is_empty() {
                return Ok(parameters);
            }
            let end = self
                .rest
                .find(|c: char| c == '=' || c.is_ascii_whitespace());
            let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            let missing = self.error("missing \"=\" after the word that starts");
            self.rest = rest;
            self.skip_space();
            let Some(rest) = self.rest.strip_prefix('=') else {
                return Err(missing);
            };
            self.rest = rest;
            self.skip_space();
            let value = self.value()?;
            parameters.set(name, value)?;
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn error(&self, problem: &'static str) -> ConfigError {
        syntax(self.text, self.text.len() - self.rest.len(), problem, QUOTE)
    }

    /// A value: bare up to white space, or in single quotes; a backslash takes the next character
    /// as it is in both.
    fn value(&mut self) -> Result<String, ConfigError> {
        let unterminated = self.error("unterminated quoted string");
        let quoted = self.rest.starts_with('\'');
        let body = if quoted { &self.rest[1..] } else { self.rest };
        let mut value = String::new();
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                '\'' if quoted => {
                    self.rest = &body[at + 1..];
                    return Ok(value);
                }
                c if !quoted && c.is_ascii_whitespace() => {
                    self.rest = &body[at..];
                    return Ok(value);
                }
                c => value.push(c),
            }
        }
        self.rest = "";
        if quoted { Err(unterminated) } else { Ok(value) }
    }
}

struct Url<'a> {
    whole: &'a str,
    parameters: Parameters,
}

impl Url<'_> {
    fn parse(mut self, text: &str) -> Result<Parameters, ConfigError> {
        // As libpq: the user part ends at the first @ that stands before any slash.
        let slash = text.find('/').unwrap_or(text.len());
        let (user_part, rest) = match text.find('@') {
            Some(at) if at < slash => (Some(&text[..at]), &text[at + 1..]),
            _ => (None, text),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (hosts, rest) = rest.split_at(end);
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        if hosts.contains('@') || path.contains('@') {
            let problem = "an @ that is not percent-encoded";
            return Err(syntax(self.whole, 0, problem, ENCODE));
        }
        if let Some(user_part) = user_part {
            let (user, password) = match user_part.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (user_part, None),
            };
            self.store("user", user)?;
            self.store("password", password.unwrap_or_default())?;
        }
        self.hosts(hosts)?;
        self.store("dbname", path.strip_prefix('/').unwrap_or(path))?;
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            self.query_parameter(pair)?;
        }
        Ok(self.parameters)
    }

    /// `host:port,[v6]:port,%2Fsocket`: two lists of the same length.
    fn hosts(&mut self, text: &str) -> Result<(), ConfigError> {
        let mut hosts = Vec::new();
        let mut ports = Vec::new();
        for entry in text.split(',') {
            let (host, rest) = match entry.strip_prefix('[') {
                Some(bracketed) => bracketed.split_once(']').ok_or_else(|| {
                    let problem = "an IPv6 address without its closing bracket";
                    syntax(self.whole, 0, problem, "write [2001:db8::1]:5432")
                })?,
                None => entry.split_at(entry.find(':').unwrap_or(entry.len())),
            };
            let port = match rest.strip_prefix(':') {
                Some(port) => port,
                None if rest.is_empty() => "",
                None => {
                    let problem = "unexpected text after an IPv6 address";
                    return Err(syntax(self.whole, 0, problem, "write [2001:db8::1]:5432"));
                }
            };
            if port.contains(':') {
                let problem = "more than one colon in a host";
                return Err(syntax(
                    self.whole,
                    0,
                    problem,
                    "put an IPv6 address into [ ]",
                ));
            }
            hosts.push(host);
            ports.push(port);
        }
        self.store("host", &hosts.join(","))?;
        if ports.iter().any(|port| !port.is_empty()) {
            self.store("port", &ports.join(","))?;
        }
        Ok(())
    }

    fn query_parameter(&mut self, pair: &str) -> Result<(), ConfigError> {
        let Some((name, value)) = pair.split_once('=') else {
            let problem = "a query parameter without \"=\"";
            return Err(syntax(
                self.whole,
                0,
                problem,
                "write ?name=value&name=value",
            ));
        };
        if value.contains('=') {
            let problem = "a query parameter with a second \"=\"";
            return Err(syntax(
                self.whole,
                0,
                problem,
                "write = inside a value as %3D",
            ));
        }
        let name = self.decode(name)?;
        let value = self.decode(value)?;
        // libpq takes this from JDBC, in URLs only.
        if name == "ssl" && value == "true" {
            return self.parameters.set("sslmode", "require".to_owned());
        }
        self.parameters.set(&name, value)
    }

    /// Stores a part of the URL that is not empty; an empty one leaves the default.
    fn store(&mut self, name: &'static str, text: &str) -> Result<(), ConfigError> {
        if text.is_empty() {
            return Ok(());
        }
        let value = self.decode(text)?;
        self.parameters.set(name, value)
    }

    fn decode(&self, text: &str) -> Result<String, ConfigError> {
        if text.contains(|c: char| c.is_ascii_whitespace()) {
            return Err(syntax(self.whole, 0, "a space inside a URL", ENCODE));
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            if *first != b'%' {
                bytes.push(*first);
                continue;
            }
            let pair = tail
                .get(..2)
                .and_then(|pair| Some((hex(pair[0])?, hex(pair[1])?)));
            let Some((high, low)) = pair else {
                return Err(syntax(
                    self.whole,
                    0,
                    "a % without two hexadecimal digits",
                    ENCODE,
                ));
            };
            let byte = high * 16 + low;
            if byte == 0 {
                return Err(syntax(
                    self.whole,
                    0,
                    "the forbidden value %00",
                    "remove it",
                ));
            }
            bytes.push(byte);
            rest = &tail[2..];
        }
        String::from_utf8(bytes).map_err(|_| {
            let problem = "percent-encoded bytes that are not UTF-8";
            syntax(
                self.whole,
                0,
                problem,
                "encode the UTF-8 bytes of each character",
            )
        })
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
#[path = "conninfo_tests.rs"]
mod tests;
