//! Rules of `[gateway]`.

use super::{Rules, check_broker};
use crate::config::{Config, SaslMechanism};

impl Rules<'_> {
    pub(super) fn gateway(&mut self, config: &Config) {
        let gateway = &config.gateway;
        if gateway.topic.is_some() == gateway.brokers.is_empty() {
            let message = "`gateway` needs both `topic` and `brokers`, or none";
            let hint =
                "for example brokers = [\"kafka.example.com:9092\"], topic = \"walgate.stream\"";
            self.refuse(&["gateway"], message, hint);
        }
        for broker in &gateway.brokers {
            if let Err(problem) = check_broker(broker) {
                let message = format!("`gateway.brokers` {problem}");
                let hint = "write host:port, such as \"kafka.example.com:9092\"";
                self.refuse(&["gateway", "brokers"], message, hint);
            }
        }
        let sasl = [
            gateway.sasl_username.is_some(),
            gateway.sasl_password.is_some(),
        ];
        if sasl != [gateway.sasl_mechanism.is_some(); 2] {
            let message = "`gateway` needs all of `sasl_mechanism`, `sasl_username` and `sasl_password`, or none";
            let hint = "other mechanisms go through `properties`";
            self.refuse(&["gateway"], message, hint);
        }
        if gateway.sasl_mechanism == Some(SaslMechanism::Plain) && !gateway.tls {
            let message = "`gateway.sasl_mechanism = \"PLAIN\"` sends the password in plain text";
            let hint = "set tls = true, or use SCRAM-SHA-512";
            self.refuse(&["gateway", "sasl_mechanism"], message, hint);
        }
        let (certificate, key) = (&gateway.tls_certificate_file, &gateway.tls_key_file);
        let files = [&gateway.tls_ca_file, certificate, key];
        if !gateway.tls && files.iter().any(|file| file.is_some()) {
            let message = "`gateway` names files for TLS, and TLS is off";
            self.refuse(&["gateway"], message, "set tls = true");
        }
        if certificate.is_some() != key.is_some() {
            let message = "`gateway` needs both `tls_certificate_file` and `tls_key_file`, or none";
            let hint = "a certificate is of no use without its key";
            self.refuse(&["gateway"], message, hint);
        }
    }
}
