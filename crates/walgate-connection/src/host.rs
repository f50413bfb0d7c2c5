//! The servers to try: names, addresses and socket folders with their ports, in order.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config_error::ConfigError;

/// PostgreSQL's port where nothing else is said.
const DEFAULT_PORT: u16 = 5432;

/// Where distributions put the server's socket: Debian's and Red Hat's folder, then upstream's. The
/// first that exists is libpq's default host on that system.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// One server of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) target: Target,
    pub(crate) port: u16,
    /// The name that certificates and the password file are checked against; empty when only an
    /// address was given.
    pub(crate) name: String,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A folder that holds the socket, or a name in Linux's abstract name space (from `@`).
    Socket(PathBuf),
    /// A host name, looked up anew at each attempt.
    Name(String),
    /// An address, from `hostaddr` or given as the host itself.
    Address(IpAddr),
}

impl Host {
    /// The path of the socket, where there is one.
    pub(crate) fn socket_path(&self) -> Option<PathBuf> {
        let Target::Socket(folder) = &self.target else {
            return None;
        };
        let file = format!(".s.PGSQL.{}", self.port);
        Some(
            match folder.to_str().and_then(|text| text.strip_prefix('@')) {
                // The leading NUL is how Linux tells the abstract name space.
                Some(name) => PathBuf::from(format!("\0{name}/{file}")),
                None => folder.join(file),
            },
        )
    }

    /// What a line of the password file must name: `localhost` for the default socket folder.
    pub(crate) fn passfile_name(&self) -> String {
        match &self.target {
            Target::Socket(folder) if folder == default_folder() => "localhost".to_owned(),
            Target::Socket(folder) => folder.display().to_string(),
            Target::Address(address) if self.name.is_empty() => address.to_string(),
            Target::Address(_) | Target::Name(_) => self.name.clone(),
        }
    }
}

/// As messages name it: `host:port`, `[v6]:port`, or the path of the socket.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Socket(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
            _ if !self.name.is_empty() && !self.name.contains(':') => {
                write!(f, "{}:{}", self.name, self.port)
            }
            Target::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Target::Address(address) => write!(f, "{address}:{}", self.port),
            Target::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

fn default_folder() -> &'static Path {
    let found = SOCKET_FOLDERS
        .iter()
        .find(|folder| Path::new(folder).is_dir());
    Path::new(found.copied().unwrap_or(SOCKET_FOLDERS[1]))
}

/// Pairs `host`, `hostaddr` and `port` by libpq's rules: the lists have one length, except that a
/// single port counts for all, and an empty entry means the default.
pub(crate) fn hosts(
    host: Option<&str>,
    hostaddr: Option<&str>,
    port: Option<&str>,
) -> Result<Vec<Host>, ConfigError> {
    let split = |text: Option<&str>| -> Vec<String> {
        text.map(|text| text.split(',').map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (split(host), split(hostaddr), split(port));
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(ConfigError::Contradiction {
            first: "host",
            second: "hostaddr",
            problem: format!("{} hosts, {} addresses", names.len(), addresses.len()),
        });
    }
    let count = names.len().max(addresses.len()).max(1);
    if ports.len() > 1 && ports.len() != count {
        return Err(ConfigError::Contradiction {
            first: "host",
            second: "port",
            problem: format!("{count} hosts, {} ports", ports.len()),
        });
    }
    let entry = |list: &[String], index: usize| list.get(index).cloned().unwrap_or_default();
    (0..count)
        .map(|index| {
            let port = if ports.len() == 1 {
                entry(&ports, 0)
            } else {
                entry(&ports, index)
            };
            Ok(Host {
                target: target(&entry(&names, index), &entry(&addresses, index))?,
                port: parse_port(&port)?,
                name: match entry(&names, index) {
                    name if is_socket(&name) => String::new(),
                    name => name,
                },
            })
        })
        .collect()
}

fn is_socket(name: &str) -> bool {
    name.starts_with(['/', '@'])
}

fn target(name: &str, address: &str) -> Result<Target, ConfigError> {
    if !address.is_empty() {
        let hint = "give an IPv4 or IPv6 address, without brackets; names belong into host";
        let parsed = address.parse();
        return parsed
            .map(Target::Address)
            .map_err(|_| ConfigError::invalid("hostaddr", "not an address", hint));
    }
    if name.is_empty() {
        return Ok(Target::Socket(default_folder().to_owned()));
    }
    if is_socket(name) {
        return Ok(Target::Socket(PathBuf::from(name)));
    }
    if let Ok(address) = name.parse() {
        return Ok(Target::Address(address));
    }
    if name.contains(|c: char| c.is_whitespace() || c.is_control() || "[]:/@".contains(c)) {
        let problem = "a host name with a space, bracket, colon, slash or @";
        let hint = "give a name, an address without brackets, or the folder of the socket; \
             a password with special characters must be percent-encoded in a URL";
        return Err(ConfigError::invalid("host", problem, hint));
    }
    Ok(Target::Name(name.to_owned()))
}

fn parse_port(text: &str) -> Result<u16, ConfigError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    match text.trim_ascii().parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        // The value is not shown: it may be a password with a slash in it.
        Ok(_) | Err(_) => {
            let hint = "give a number from 1 to 65535; in a URL a password's special characters \
                 must be percent-encoded";
            Err(ConfigError::invalid("port", "not a port", hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Target, default_folder, hosts};

    fn shown(host: Option<&str>, hostaddr: Option<&str>, port: Option<&str>) -> Vec<String> {
        hosts(host, hostaddr, port)
            .expect("valid")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn lists_are_paired() {
        assert_eq!(shown(Some("a,b"), None, Some("1,2")), ["a:1", "b:2"]);
        assert_eq!(shown(Some("a,b"), None, Some("7")), ["a:7", "b:7"]);
        assert_eq!(shown(Some("a,b"), None, Some(",6")), ["a:5432", "b:6"]);
        assert_eq!(shown(Some("::1"), None, None), ["[::1]:5432"]);
        assert_eq!(
            shown(Some("/run/pg"), None, Some("6")),
            ["/run/pg/.s.PGSQL.6"]
        );
        assert_eq!(
            shown(None, Some("10.0.0.1,::1"), None),
            ["10.0.0.1:5432", "[::1]:5432"]
        );
        assert_eq!(
            shown(Some("db.example"), Some("10.0.0.1"), None),
            ["db.example:5432"]
        );
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        assert!(hosts(Some("a,b"), None, Some("1,2,3")).is_err());
        assert!(hosts(Some("a,b"), Some("10.0.0.1"), None).is_err());
    }

    #[test]
    fn bad_hosts_and_ports_are_refused() {
        for port in ["0", "65536", "-1", "5432x", "1.5", "0x10"] {
            assert!(hosts(Some("a"), None, Some(port)).is_err(), "{port}");
        }
        for host in ["a b", "a ", "[::1]", "a:5432", "a/b", "a@b"] {
            assert!(hosts(Some(host), None, None).is_err(), "{host:?}");
        }
        assert!(hosts(None, Some("db.example"), None).is_err());
    }

    #[test]
    fn sockets_and_the_names_that_the_password_file_uses() {
        let named = hosts(Some("/elsewhere"), None, None)
            .expect("valid")
            .remove(0);
        assert_eq!(
            named.socket_path().as_deref(),
            Some(Path::new("/elsewhere/.s.PGSQL.5432"))
        );
        assert_eq!(named.passfile_name(), "/elsewhere");
        let default = hosts(None, None, None).expect("valid").remove(0);
        assert_eq!(default.target, Target::Socket(default_folder().to_owned()));
        assert_eq!(default.passfile_name(), "localhost");
        let abstract_socket = hosts(Some("@pg"), None, None).expect("valid").remove(0);
        assert_eq!(
            abstract_socket.socket_path().as_deref(),
            Some(Path::new("\0pg/.s.PGSQL.5432"))
        );
        let address = hosts(None, Some("10.0.0.1"), None)
            .expect("valid")
            .remove(0);
        assert_eq!(address.passfile_name(), "10.0.0.1");
    }
}
