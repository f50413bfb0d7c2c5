//! `${NAME}` and `${file:PATH}` in values.

use std::path::Path;

use walgate_connection::Environment;

use super::bounded::{MAX_SECRET_BYTES, read_text};
use super::text::Refused;

/// A value with its parts put in.
pub(super) struct Substituted {
    pub(super) value: String,
    /// What was put in: `environment NAME`, `file PATH`.
    pub(super) sources: Vec<String>,
}

/// Replaces `${NAME}` by the environment, `${file:PATH}` by a file's content without the line break
/// at its end, and `$$` by a dollar sign. A dollar sign in front of anything else stays. What is put
/// in is not looked at again.
///
/// A relative path starts at `folder`.
pub(super) fn substitute(
    raw: &str,
    environment: &Environment,
    folder: &Path,
) -> Result<Substituted, Refused> {
    let mut value = String::with_capacity(raw.len());
    let mut sources = Vec::new();
    let mut rest = raw;
    while let Some((before, behind)) = rest.split_once('$') {
        value.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            value.push('$');
            rest = behind;
        } else if let Some(inner) = behind.strip_prefix('{') {
            let (name, behind) = inner.split_once('}').ok_or_else(|| {
                Refused::new(
                    "has a ${ that is never closed",
                    "write $$ for a dollar sign",
                )
            })?;
            let (source, content) = resolve(name, environment, folder)?;
            value.push_str(&content);
            sources.push(source);
            rest = behind;
        } else {
            value.push('$');
            rest = behind;
        }
    }
    value.push_str(rest);
    Ok(Substituted { value, sources })
}

fn resolve(
    name: &str,
    environment: &Environment,
    folder: &Path,
) -> Result<(String, String), Refused> {
    if let Some(path) = name.strip_prefix("file:") {
        let content = read_text(&folder.join(path), MAX_SECRET_BYTES).map_err(|problem| {
            Refused::new(
                format!("needs the file {path}, which {problem}"),
                "check the path in ${file:…}",
            )
        })?;
        let content = content.strip_suffix('\n').unwrap_or(&content);
        let content = content.strip_suffix('\r').unwrap_or(content);
        return Ok((format!("file {path}"), content.to_owned()));
    }
    let head = name.chars().next();
    let is_name = head.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(Refused::new(
            format!(
                "has ${{{}}}, which is no name of a variable",
                name.escape_debug()
            ),
            "write ${NAME}, ${file:PATH}, or $$ for a dollar sign",
        ));
    }
    match environment.get(name) {
        Some(content) => Ok((format!("environment {name}"), content)),
        None => Err(Refused::new(
            format!("needs the environment variable {name}, which is not set or empty"),
            format!("set {name}, or write $$ for a dollar sign"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(raw: &str) -> Result<Substituted, Refused> {
        let pairs = [("USER", "app"), ("TRICKY", "${USER}$$"), ("EMPTY", "")];
        let environment = Environment::from_pairs(pairs);
        substitute(raw, &environment, Path::new("/nowhere"))
    }

    #[test]
    fn puts_in_and_escapes() {
        for (raw, value) in [
            ("plain", "plain"),
            ("${USER}", "app"),
            ("a${USER}b${USER}", "aappbapp"),
            ("$$", "$"),
            ("$${USER}", "${USER}"),
            ("$$${USER}", "$app"),
            ("pa$word", "pa$word"),
            ("$", "$"),
            ("${TRICKY}", "${USER}$$"),
        ] {
            assert_eq!(
                with(raw)
                    .map(|done| done.value)
                    .map_err(|error| error.problem),
                Ok(value.to_owned())
            );
        }
    }

    #[test]
    fn names_what_is_missing() {
        for (raw, problem) in [
            (
                "${NOPE}",
                "needs the environment variable NOPE, which is not set or empty",
            ),
            (
                "${EMPTY}",
                "needs the environment variable EMPTY, which is not set or empty",
            ),
            ("${", "has a ${ that is never closed"),
            ("${}", "has ${}, which is no name of a variable"),
            (
                "${USER:-x}",
                "has ${USER:-x}, which is no name of a variable",
            ),
            (
                "${file:secret}",
                "needs the file secret, which does not exist",
            ),
        ] {
            assert_eq!(
                with(raw).err().map(|error| error.problem),
                Some(problem.to_owned())
            );
        }
    }

    #[test]
    fn a_file_loses_its_last_line_break() {
        let folder = tempfile::tempdir().expect("a folder");
        for (content, value) in [
            ("x\n", "x"),
            ("x\r\n", "x"),
            ("x\n\n", "x\n"),
            ("x", "x"),
            ("", ""),
        ] {
            std::fs::write(folder.path().join("secret"), content).expect("written");
            let done = substitute("${file:secret}", &Environment::process(), folder.path());
            assert_eq!(done.map(|done| done.value).ok().as_deref(), Some(value));
        }
    }
}
