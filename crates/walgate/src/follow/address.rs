//! Where a push server is, and what is asked of it in an address.

use reqwest::Url;
use walgate_core::{Failure, Lsn, Position, StopReason};

use crate::args::FollowArgs;

/// Where a push server is.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// With the scheme http or https, up to and including the folder of the version.
    base: Url,
    /// What the address says besides.
    said: Vec<(String, String)>,
}

/// Start where on a connection is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// What comes.
    Now,
    /// Behind a position.
    After(Position),
    /// Behind an LSN, in whatever epoch the server is.
    Behind(Lsn),
    /// With the first transaction of a time.
    Since(String),
    /// The rows that there are.
    Snapshot,
}

impl Address {
    /// Reads what a person has written; `/v1/stream` and `/v1/events`, and parameters, may be a part of it.
    ///
    /// # Errors
    ///
    /// When it is no address of a server.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |what: String| {
            Failure::new(StopReason::Config, what).hint(
                "walgate follow ws://127.0.0.1:9465, with the address that the sink listens on",
            )
        };
        let text = match text.contains("://") {
            true => text.to_owned(),
            false => format!("ws://{text}"),
        };
        // The scheme of a special URL can't be changed to one that the library does not know; these it does.
        let mut base =
            Url::parse(&text).map_err(|error| wrong(format!("the URL is none: {error}")))?;
        let scheme = match base.scheme() {
            "ws" | "http" => "http",
            "wss" | "https" => "https",
            other => return Err(wrong(format!("{other} is none of ws, wss, http, https"))),
        };
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Failure::new(StopReason::Config, "the URL holds a password")
                .hint("take it out, and give the token in WALGATE_TOKEN or with --token-file"));
        }
        let said = base.query_pairs().into_owned().collect();
        base.set_scheme(scheme)
            .map_err(|()| wrong("the URL has no host".to_owned()))?;
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/');
        let path = ["/v1/stream", "/v1/events", "/v1"]
            .iter()
            .find_map(|end| path.strip_suffix(end))
            .unwrap_or(path);
        let path = format!("{path}/v1/");
        base.set_path(&path);
        Ok(Self { base, said })
    }

    /// For people, and for logs: without what is asked for.
    pub(super) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// A resource of the server.
    pub(super) fn resource(&self, name: &str) -> Url {
        self.base.join(name).unwrap_or_else(|_| self.base.clone())
    }

    /// A stream of the server (`stream` or `events`): all that `args` ask for, from there on.
    pub(super) fn stream(&self, name: &str, args: &FollowArgs, from: &Start) -> Url {
        let mut url = self.resource(name);
        let mut pairs = url.query_pairs_mut();
        let begins = |name: &str| ["after", "since", "snapshot"].contains(&name);
        for (name, value) in &self.said {
            // What the address says of the beginning holds until something else is known.
            if *from == Start::Now || !begins(name) {
                pairs.append_pair(name, value);
            }
        }
        for table in &args.tables {
            pairs.append_pair("table", table);
        }
        for op in &args.ops {
            pairs.append_pair("op", op);
        }
        if let Some(filter) = together(&args.filters) {
            pairs.append_pair("where", &filter);
        }
        for column in &args.columns {
            pairs.append_pair("column", column);
        }
        for (name, is_asked) in [("transactions", args.transactions), ("strict", args.strict)] {
            if is_asked {
                pairs.append_pair(name, "true");
            }
        }
        match from {
            Start::Now => {}
            Start::After(position) => {
                pairs.append_pair("after", &position.to_string());
            }
            Start::Behind(lsn) => {
                pairs.append_pair("after", &lsn.to_string());
            }
            Start::Since(time) => {
                pairs.append_pair("since", time);
            }
            Start::Snapshot => {
                pairs.append_pair("snapshot", "true");
            }
        }
        // An address with parameters is a whole request: none would mean that a message follows.
        drop(pairs);
        if url.query().is_none_or(str::is_empty) {
            url.set_query(Some("table=*"));
        }
        url
    }
}

/// All of these conditions.
fn together(filters: &[String]) -> Option<String> {
    match filters {
        [] => None,
        [one] => Some(one.clone()),
        all => {
            let all: Vec<_> = all.iter().map(|one| format!("({one})")).collect();
            Some(all.join(" and "))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn args(words: &[&str]) -> FollowArgs {
        let words = ["walgate", "follow", "ws://h"].iter().chain(words);
        match Args::try_parse_from(words).expect("valid").command {
            Command::Follow(follow) => *follow,
            other => panic!("not follow: {other:?}"),
        }
    }

    fn stream(address: &str, words: &[&str], from: &Start) -> String {
        let address = Address::parse(address).expect("an address");
        address.stream("stream", &args(words), from).to_string()
    }

    #[test]
    fn an_address_is_read_as_people_write_it() {
        for address in [
            "ws://h:1",
            "http://h:1/",
            "h:1",
            "ws://h:1/v1/stream",
            "http://h:1/v1/events#x",
        ] {
            assert_eq!(
                stream(address, &[], &Start::Now),
                "http://h:1/v1/stream?table=*",
                "{address}"
            );
        }
        assert_eq!(
            stream("wss://h/deep/v1", &["--table", "a.b"], &Start::Now),
            "https://h/deep/v1/stream?table=a.b"
        );
        for wrong in ["ftp://h", "ws://", "ws://u:p@h", "http://[::"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        let host = |text: &str| Address::parse(text).expect("an address").host();
        assert_eq!(host("wss://h"), "h");
        assert_eq!(host("ws://[::1]:9465"), "[::1]:9465");
    }

    #[test]
    fn all_that_is_asked_for_is_in_it() {
        let after = Start::After("00000000014a2f60-00000003".parse().expect("an id"));
        let words = &["--where", "a=1", "--where", "b=2 or c=3", "--op", "insert"];
        assert_eq!(
            stream("h:1?table=x.y&after=0/1", words, &after),
            "http://h:1/v1/stream?table=x.y&op=insert&where=%28a%3D1%29+and+%28b%3D2+or+c%3D3%29\
             &after=00000000014a2f60-00000003"
        );
        assert_eq!(
            stream(
                "h:1?after=0/1",
                &["--columns", "a,b", "--strict"],
                &Start::Now
            ),
            "http://h:1/v1/stream?after=0%2F1&column=a&column=b&strict=true"
        );
        assert_eq!(
            stream("h:1", &["--snapshot"], &Start::Snapshot),
            "http://h:1/v1/stream?snapshot=true"
        );
    }
}
