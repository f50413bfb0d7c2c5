//! `[http]`: where a service shows how it does.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;

/// Metrics, probes and the state of the service over HTTP: /metrics, /livez, /readyz and /status.
/// Nothing can be changed there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Http {
    /// Address and port to listen on; nothing listens when it is not set. Whoever reaches it sees
    /// names of tables' sinks, slots, users and statements: keep it to the network of the monitoring.
    #[schemars(length(min = 1), extend("examples" = ["127.0.0.1:9464"]))]
    pub listen: Option<String>,
    /// What has to stand in the header Authorization, behind Bearer, for /metrics and /status. The
    /// probes take everybody: they say yes or no.
    #[schemars(extend("examples" = ["${file:/etc/walgate/http.token}"]))]
    pub token: Option<Secret>,
    /// Certificate chain in PEM, for HTTPS. It is read again on SIGHUP.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/tls.crt"]))]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM. It is read again on SIGHUP.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/tls.key"]))]
    pub tls_key: Option<PathBuf>,
}
