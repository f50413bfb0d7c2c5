//! `target_session_attrs`: whether the server that answered is of the wanted kind.

use crate::connect::Opened;
use crate::error::ConnectError;
use crate::query;
use crate::remedy::Circumstances;
use crate::setting::TargetSessionAttrs;

/// Checks the kind of the server by the parameters that it reported (PostgreSQL 14 and up), or by
/// asking, where a pooler left them out.
pub(crate) async fn check(
    opened: &mut Opened,
    wanted: TargetSessionAttrs,
    circumstances: &Circumstances<'_>,
) -> Result<(), ConnectError> {
    let standby = match wanted {
        TargetSessionAttrs::Any | TargetSessionAttrs::PreferStandby => return Ok(()),
        _ => {
            is_on(
                opened,
                "in_hot_standby",
                "SHOW in_hot_standby",
                circumstances,
            )
            .await?
        }
    };
    let needs_mode = matches!(
        wanted,
        TargetSessionAttrs::ReadWrite | TargetSessionAttrs::ReadOnly
    );
    let read_only = needs_mode
        && (standby
            || is_on(
                opened,
                "default_transaction_read_only",
                "SHOW transaction_read_only",
                circumstances,
            )
            .await?);
    let found = match wanted {
        TargetSessionAttrs::ReadWrite if standby => "the server is a standby",
        TargetSessionAttrs::ReadWrite if read_only => {
            "its sessions are read-only (default_transaction_read_only)"
        }
        TargetSessionAttrs::ReadOnly if !read_only => "its sessions can write",
        TargetSessionAttrs::Primary if standby => "the server is a standby",
        TargetSessionAttrs::Standby if !standby => "the server is not a standby",
        _ => return Ok(()),
    };
    Err(ConnectError::NotAcceptable {
        endpoint: opened.endpoint.clone(),
        wanted,
        found,
    })
}

async fn is_on(
    opened: &mut Opened,
    parameter: &str,
    question: &str,
    circumstances: &Circumstances<'_>,
) -> Result<bool, ConnectError> {
    if let Some(value) = opened.session.parameters.get(parameter) {
        return Ok(value == "on");
    }
    let (transport, session) = (&mut opened.transport, &mut opened.session);
    let rows = query::simple_query(transport, session, question, circumstances).await?;
    Ok(rows.first().and_then(|row| row.at(0)) == Some("on"))
}
