//! Service files: named sets of parameters.
//!
//! <https://www.postgresql.org/docs/current/libpq-pgservice.html>

use std::path::{Path, PathBuf};

use crate::config_error::ConfigError;
use crate::environment::Environment;
use crate::parameter::Parameters;

/// A service file is a few lines; a larger file is something else.
const MAX_BYTES: u64 = 1 << 20;

/// Fills in the parameters of the service that the text or `PGSERVICE` names. They yield to what
/// the text says, and win over the other variables.
pub(crate) fn fill(
    parameters: &mut Parameters,
    environment: &Environment,
) -> Result<(), ConfigError> {
    let Some(name) = parameters
        .take("service")
        .or_else(|| environment.get("PGSERVICE"))
    else {
        return Ok(());
    };
    let own = environment
        .get("PGSERVICEFILE")
        .map(PathBuf::from)
        .or_else(|| environment.home_file(".pg_service.conf"));
    let system = environment
        .get("PGSYSCONFDIR")
        .map(|folder| PathBuf::from(folder).join("pg_service.conf"));
    for path in [own, system]
        .into_iter()
        .flatten()
        .filter(|path| path.exists())
    {
        if let Some(found) = section(&read(&path)?, &name, &path)? {
            parameters.fill_with(found);
            return Ok(());
        }
    }
    let problem = "no service file defines the service of that name";
    let hint = "define it in ~/.pg_service.conf or the file that PGSERVICEFILE names";
    Err(ConfigError::invalid("service", problem, hint))
}

fn file_error(path: &Path, problem: impl Into<String>) -> ConfigError {
    ConfigError::File {
        parameter: "service",
        path: path.display().to_string(),
        problem: problem.into(),
        hint: "write [name] and below it one parameter=value on each line".to_owned(),
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let describe = |error: std::io::Error| file_error(path, error.to_string());
    if std::fs::metadata(path).map_err(describe)?.len() > MAX_BYTES {
        return Err(file_error(path, "larger than 1 MiB"));
    }
    std::fs::read_to_string(path).map_err(describe)
}

fn section(text: &str, name: &str, path: &Path) -> Result<Option<Parameters>, ConfigError> {
    let mut found = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            if found.is_some() {
                break;
            }
            found = (header == name).then(Parameters::default);
        } else if let Some(parameters) = &mut found {
            let Some((key, value)) = line.split_once('=') else {
                return Err(file_error(path, format!("no \"=\" in line {}", index + 1)));
            };
            parameters.set(key, value.to_owned())?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::fill;
    use crate::environment::Environment;
    use crate::parameter::Parameters;

    #[test]
    fn a_service_yields_to_the_text() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("services");
        let text =
            "# mine\n[other]\nhost=wrong\n[prod]\nhost=db.example\nuser=svc\n\n[last]\nport=1\n";
        std::fs::write(&path, text).expect("written");
        let environment =
            Environment::from_pairs([("PGSERVICEFILE", path.to_str().expect("utf-8"))]);
        let mut parameters = Parameters::default();
        parameters.set("service", "prod".to_owned()).expect("known");
        parameters.set("user", "me".to_owned()).expect("known");
        fill(&mut parameters, &environment).expect("found");
        assert_eq!(parameters.get("host"), Some("db.example"));
        assert_eq!(parameters.get("user"), Some("me"));
        assert_eq!(parameters.get("port"), None);

        let mut missing = Parameters::default();
        missing.set("service", "nope".to_owned()).expect("known");
        assert!(fill(&mut missing, &environment).is_err());
    }
}
