//! The whole way of an alert: a real `walgate run`, scraped by a real Prometheus with the rules that are
//! shipped, whose times are made short.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;
use walgate_tests::{Bed, PATIENCE, journal_on_disk, stop, until};
use walgate_throwaway::{Kafka, KafkaOptions, PgVersion, Postgres, PostgresOptions};

use super::{dashboard, read, tool};
use crate::sink_faults::topics::{create, kafka_sink};

const TOPIC: &str = "alerted";

/// What a sink that is down may say.
const DOWN: &[&str] = &["kafka is unreachable", "sink=\"kafka\""];

/// Metrics that have no series while there is nothing to tell.
const ONLY_WITH_ALERTS: &[&str] = &["walgate_alert_firing", "walgate_alert_notifications_total"];

/// Ends what it starts when its standard input does: with this process, whatever happens to it.
const LEASH: &str = r#""$@" & child=$!; trap 'kill -9 $child' EXIT; read -r _"#;

struct Prometheus {
    leash: Child,
    port: u16,
    _folder: TempDir,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

impl Prometheus {
    /// Scrapes that port each second, and judges by the shipped rules, which wait for one.
    fn start(target: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let rules = read("prometheus/walgate.rules.yml")?;
        let rules = Regex::new(r"for: \d+[sm]")?.replace_all(&rules, "for: 1s");
        std::fs::write(path("rules.yml"), rules.as_bytes())?;
        std::fs::write(
            path("prometheus.yml"),
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
                 scrape_configs:\n- job_name: walgate\n  static_configs: [{{targets: [\"127.0.0.1:{target}\"]}}]\n"
            ),
        )?;
        let port = free_port()?;
        let mut leash = Command::new("sh");
        leash.args(["-c", LEASH, "sh"]);
        leash.arg(tool("prometheus")?.get_program());
        leash.arg(format!(
            "--config.file={}",
            path("prometheus.yml").display()
        ));
        leash.arg(format!("--storage.tsdb.path={}", path("data").display()));
        leash.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        leash.arg("--log.level=error");
        let leash = leash.stdin(Stdio::piped()).spawn()?;
        Ok(Self {
            leash,
            port,
            _folder: folder,
        })
    }

    /// What its API answers; an error while it is not up yet.
    fn get(&self, path: &str) -> Result<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /api/v1/{path} HTTP/1.0\r\nHost: prometheus\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        let answer: Value = serde_json::from_str(body)?;
        Ok(answer["data"].clone())
    }

    /// The value of the one series of a metric.
    fn value(&self, metric: &str) -> Option<f64> {
        let found = self.get(&format!("query?query={metric}")).ok()?;
        found["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// The labels of the alerts that fire, with the sink they are about.
    fn firing(&self) -> Result<BTreeSet<(String, String)>> {
        let alerts = self.get("alerts")?;
        let alerts = alerts["alerts"].as_array().context("alerts")?;
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        let label = |alert: &Value, name: &str| {
            let value = alert["labels"][name].as_str();
            value.unwrap_or_default().to_owned()
        };
        Ok(firing
            .map(|alert| (label(alert, "alertname"), label(alert, "sink")))
            .collect())
    }

    fn metrics(&self) -> Result<BTreeSet<String>> {
        let names = self.get("label/__name__/values")?;
        let names = names.as_array().context("names")?;
        Ok(names
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        // It ends by itself now; there is nobody to tell when it does not.
        let _ended = self.leash.wait();
    }
}

#[test]
fn a_dead_sink_fires_and_is_resolved() -> Result<()> {
    let mut broker = Kafka::start(&KafkaOptions::default())?;
    let bootstrap = broker.bootstrap();
    create(&bootstrap, TOPIC, 1, &[])?;
    // A server of its own: slots of other tests may well be lost.
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = Bed::on(
        &server,
        "alerted",
        "create table alerted (id int primary key); create publication walgate for table alerted;",
    )?;
    let port = free_port()?;
    bed.more = format!(
        "{}[http]\nlisten = \"127.0.0.1:{port}\"\n[watch]\ninterval = \"1s\"\n",
        journal_on_disk("")
    );
    // And one of each kind that has metrics of its own.
    let push =
        "[sinks.push]\ntype = \"websocket\"\nlisten = \"127.0.0.1:0\"\ndelivery = \"resumable\"\n";
    let kafka = kafka_sink(&bootstrap, "topic = \"{table}\"");
    bed.configure(&format!("{kafka}\n{push}"))?;
    bed.begin()?;
    let program = bed.serve()?;
    let prometheus = Prometheus::start(port)?;
    let down = ("WalgateSinkDown".to_owned(), "kafka".to_owned());

    until("Prometheus has seen some looks", || {
        Ok(prometheus.value("walgate_watch_looks_total") > Some(3.0)
            && prometheus.value("walgate_ready") == Some(1.0))
    })?;
    let seen = prometheus.metrics()?;
    let mut missing = dashboard::known_metrics()?;
    missing.retain(|name| !seen.contains(name) && !ONLY_WITH_ALERTS.contains(&name.as_str()));
    ensure!(missing.is_empty(), "not scraped: {missing:?}");
    // WalgateAbsent was true before the first scrape.
    until("nothing fires while all is well", || {
        Ok(prometheus.firing()?.is_empty())
    })?;

    broker.stop()?;
    bed.sql("insert into alerted values (1);")?;
    until("the alert fires", || {
        Ok(prometheus.firing()?.contains(&down))
    })?;
    broker.start_again()?;
    until("the alert is over", || {
        Ok(!prometheus.firing()?.contains(&down))
    })?;
    stop(program, DOWN)?;
    Ok(())
}
