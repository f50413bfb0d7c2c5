//! The password file.
//!
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;

use crate::secret::Secret;

/// A password file has some lines; a larger file is something else.
const MAX_BYTES: u64 = 1 << 20;

/// What a line must match.
pub(crate) struct Entry<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) dbname: &'a str,
    pub(crate) user: &'a str,
}

/// Why the file does not count, as in libpq, which goes on without it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ignored {
    Missing,
    Because(String),
}

/// The password of the first line that matches.
pub(crate) fn look_up(path: &Path, wanted: &Entry<'_>) -> Result<Option<Secret>, Ignored> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Ignored::Missing,
        _ => Ignored::Because(error.to_string()),
    })?;
    check(&metadata)?;
    let bytes = std::fs::read(path).map_err(|error| Ignored::Because(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| Ignored::Because("not UTF-8".to_owned()))?;
    Ok(text.lines().find_map(|line| password(line, wanted)))
}

fn check(metadata: &Metadata) -> Result<(), Ignored> {
    if !metadata.is_file() {
        return Err(Ignored::Because("not a regular file".to_owned()));
    }
    if metadata.len() > MAX_BYTES {
        return Err(Ignored::Because("larger than 1 MiB".to_owned()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o7777;
            return Err(Ignored::Because(format!(
                "others may read it (mode {mode:04o}), it must be 0600"
            )));
        }
    }
    Ok(())
}

/// The password of a line `host:port:database:user:password` that matches.
fn password(line: &str, wanted: &Entry<'_>) -> Option<Secret> {
    if line.starts_with('#') {
        return None;
    }
    let port = wanted.port.to_string();
    let mut rest = line;
    for value in [wanted.host, &port, wanted.dbname, wanted.user] {
        let (field, tail) = field(rest)?;
        if field != value && rest.split(':').next() != Some("*") {
            return None;
        }
        rest = tail;
    }
    let password = unescape(rest);
    // An empty password is as good as none, as in libpq.
    (!password.is_empty() && !password.contains('\0')).then(|| Secret::new(password))
}

/// The next field, unescaped, and what follows its colon.
fn field(text: &str) -> Option<(String, &str)> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            ':' => return Some((unescape(&text[..at]), &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// A backslash takes the next character as it is.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Entry, Ignored, look_up, password};
    use crate::secret::Secret;

    const WANTED: Entry<'_> = Entry {
        host: "db.example",
        port: 5432,
        dbname: "app",
        user: "me",
    };

    #[test]
    fn lines_and_what_they_match() {
        for (line, expected) in [
            ("db.example:5432:app:me:secret", Some("secret")),
            ("*:*:*:*:secret", Some("secret")),
            ("db.example:*:app:me:with:colons", Some("with:colons")),
            (r"db.example:5432:app:me:a\:b\\c", Some(r"a:b\c")),
            (r"db\.example:5432:app:me:escaped", Some("escaped")),
            ("db.example:5433:app:me:port", None),
            ("other:5432:app:me:host", None),
            ("db.example:5432:app:you:user", None),
            ("db.*:5432:app:me:no-globbing", None),
            (r"\*:5432:app:me:literal-star", None),
            ("#db.example:5432:app:me:comment", None),
            ("db.example:5432:app:me:", None),
            ("db.example:5432:app:me", None),
            ("", None),
            (":", None),
            (r"db.example:5432:app:me\", None),
        ] {
            assert_eq!(password(line, &WANTED), expected.map(Secret::new), "{line}");
        }
        let odd = Entry {
            host: "::1",
            port: 1,
            dbname: r"a\b",
            user: "ü",
        };
        assert_eq!(password(r"\:\:1:1:a\\b:ü:x", &odd), Some(Secret::new("x")));
    }

    #[test]
    fn the_first_matching_line_of_a_private_file_counts() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("pgpass");
        assert_eq!(look_up(&path, &WANTED), Err(Ignored::Missing));
        fs::write(&path, "x:*:*:*:no\n*:*:app:*:first\r\n*:*:*:*:second\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        assert_eq!(look_up(&path, &WANTED), Ok(Some(Secret::new("first"))));
        for mode in [0o640, 0o604, 0o644, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            let ignored = look_up(&path, &WANTED).expect_err("ignored");
            assert!(matches!(ignored, Ignored::Because(reason) if reason.contains("0600")));
        }
        let ignored = look_up(folder.path(), &WANTED).expect_err("ignored");
        assert!(matches!(ignored, Ignored::Because(reason) if reason.contains("regular")));
    }
}
