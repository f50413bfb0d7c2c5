//! `ErrorResponse` and `NoticeResponse`: what the server says about a failure or a warning.
//!
//! Layout: <https://www.postgresql.org/docs/current/protocol-error-fields.html>.

use std::fmt;

use pgwire_replication::protocol::ErrorFields;

/// An error (or, as [`Notice`], a warning or a note) with all the fields that the server sent.
///
/// Texts may be in the server's language: decide on [`sqlstate`](Self::sqlstate),
/// [`severity`](Self::severity) and [`routine`](Self::routine), print the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC`, `WARNING`, `NOTICE` …, never localised (field `V`; field `S` from
    /// a server or pooler that sends no `V`).
    pub severity: String,
    /// The five characters of the SQLSTATE code; empty when a pooler left it out.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// What more is known.
    pub detail: Option<String>,
    /// What the server suggests.
    pub hint: Option<String>,
    /// Character position in the query text, from 1.
    pub position: Option<u32>,
    /// The call stack of functions and queries (field `W`, printed by psql as CONTEXT).
    pub context: Option<String>,
    /// Schema of the object in question.
    pub schema: Option<String>,
    /// Table in question.
    pub table: Option<String>,
    /// Column in question.
    pub column: Option<String>,
    /// Data type in question.
    pub data_type: Option<String>,
    /// Constraint in question.
    pub constraint: Option<String>,
    /// The C source file that reported it.
    pub file: Option<String>,
    /// The line in that file.
    pub line: Option<u32>,
    /// The C function that reported it. It is not localised, and tells errors with one SQLSTATE apart.
    pub routine: Option<String>,
}

/// A `NoticeResponse`: the same fields as an error, but the session goes on.
pub type Notice = ServerError;

impl ServerError {
    /// Parses the payload of an `ErrorResponse` or `NoticeResponse` (what follows the length).
    ///
    /// Any bytes give a value: a field that is cut off is left out, bytes that are not UTF-8 are
    /// replaced. An error about an error would hide the first one.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Self {
        let fields = ErrorFields::parse(payload);
        Self {
            severity: nonlocalised_severity(payload)
                .or(fields.severity)
                .unwrap_or_default(),
            sqlstate: fields.code.unwrap_or_default(),
            message: fields.message.unwrap_or_default(),
            detail: fields.detail,
            hint: fields.hint,
            position: fields.position.and_then(|text| text.parse().ok()),
            context: fields.where_,
            schema: fields.schema,
            table: fields.table,
            column: fields.column,
            data_type: fields.data_type,
            constraint: fields.constraint,
            file: fields.file,
            line: fields.line.and_then(|text| text.parse().ok()),
            routine: fields.routine,
        }
    }

    /// The server's error inside an error of `tokio-postgres`, when it is one.
    #[must_use]
    pub fn from_sql(error: &tokio_postgres::Error) -> Option<Self> {
        error.as_db_error().map(Self::from)
    }
}

/// Field `V`, which `pgwire-replication` does not keep. PostgreSQL sends it since 9.6.
fn nonlocalised_severity(payload: &[u8]) -> Option<String> {
    payload
        .split(|byte| *byte == 0)
        .take_while(|field| !field.is_empty())
        .find_map(|field| field.strip_prefix(b"V"))
        .map(|text| String::from_utf8_lossy(text).into_owned())
}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(error: &tokio_postgres::error::DbError) -> Self {
        use tokio_postgres::error::{ErrorPosition, Severity};
        let severity = match error.parsed_severity() {
            Some(Severity::Panic) => "PANIC",
            Some(Severity::Fatal) => "FATAL",
            Some(Severity::Error) => "ERROR",
            Some(Severity::Warning) => "WARNING",
            Some(Severity::Notice) => "NOTICE",
            Some(Severity::Debug) => "DEBUG",
            Some(Severity::Info) => "INFO",
            Some(Severity::Log) => "LOG",
            None => error.severity(),
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            severity: severity.to_owned(),
            sqlstate: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: owned(error.detail()),
            hint: owned(error.hint()),
            position: match error.position() {
                Some(ErrorPosition::Original(position)) => Some(*position),
                Some(ErrorPosition::Internal { position, .. }) => Some(*position),
                None => None,
            },
            context: owned(error.where_()),
            schema: owned(error.schema()),
            table: owned(error.table()),
            column: owned(error.column()),
            data_type: owned(error.datatype()),
            constraint: owned(error.constraint()),
            file: owned(error.file()),
            line: error.line(),
            routine: owned(error.routine()),
        }
    }
}

/// PostgreSQL's own form: `FATAL: message (SQLSTATE 28P01)`, then DETAIL and HINT, each on a line.
impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity.is_empty() {
            "ERROR"
        } else {
            &self.severity
        };
        write!(f, "{severity}: {}", self.message)?;
        if !self.sqlstate.is_empty() {
            write!(f, " (SQLSTATE {})", self.sqlstate)?;
        }
        let more = [
            ("DETAIL", &self.detail),
            ("HINT", &self.hint),
            ("CONTEXT", &self.context),
        ];
        for (name, text) in more {
            if let Some(text) = text {
                write!(f, "\n{name}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::ServerError;

    const FULL: &[u8] = b"SFEHLER\0VERROR\0C42704\0Mdie Publikation fehlt\0Dmehr\0Hanlegen\0P7\0\
        Wfunktion f\0sapp\0tusers\0cid\0dint4\0nusers_pkey\0Fpublicationcmds.c\0L123\0RLoadPublications\0Xnew\0\0";

    #[test]
    fn all_fields_are_kept_and_the_severity_is_not_the_localised_one() {
        let error = ServerError::parse(FULL);
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.sqlstate, "42704");
        assert_eq!(error.position, Some(7));
        assert_eq!(error.line, Some(123));
        assert_eq!(error.context.as_deref(), Some("funktion f"));
        assert_eq!(error.schema.as_deref(), Some("app"));
        assert_eq!(error.table.as_deref(), Some("users"));
        assert_eq!(error.column.as_deref(), Some("id"));
        assert_eq!(error.data_type.as_deref(), Some("int4"));
        assert_eq!(error.constraint.as_deref(), Some("users_pkey"));
        assert_eq!(error.file.as_deref(), Some("publicationcmds.c"));
        assert_eq!(error.routine.as_deref(), Some("LoadPublications"));
        assert_eq!(
            error.to_string(),
            "ERROR: die Publikation fehlt (SQLSTATE 42704)\nDETAIL: mehr\nHINT: anlegen\nCONTEXT: funktion f"
        );
    }

    #[test]
    fn a_payload_cut_anywhere_still_gives_an_error() {
        for end in 0..FULL.len() {
            let error = ServerError::parse(&FULL[..end]);
            assert!(
                error.to_string().starts_with(['E', 'F']),
                "cut at {end}: {error}"
            );
        }
        assert_eq!(ServerError::parse(b"").to_string(), "ERROR: ");
        assert!(
            ServerError::parse(b"M\xff\xfe\0\0")
                .message
                .contains('\u{fffd}')
        );
    }

    #[test]
    fn a_pooler_without_field_v_keeps_its_severity() {
        let error = ServerError::parse(b"SFATAL\0C08P01\0Mno\0\0");
        assert_eq!(error.severity, "FATAL");
    }
}
