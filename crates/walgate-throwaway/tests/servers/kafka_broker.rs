//! Apache Kafka: listeners, restarts with data kept.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use walgate_throwaway::{Kafka, KafkaOptions};

/// Whether something at this address answers ApiVersions in the clear.
fn answers(address: &str) -> bool {
    let ask = || -> std::io::Result<[u8; 10]> {
        let mut socket = TcpStream::connect(address)?;
        socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255])?;
        let mut answer = [0; 10];
        socket.read_exact(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer[4..] == [0, 0, 0, 7, 0, 0])
}

#[test]
fn a_broker_keeps_its_data_through_stops_and_kills() {
    let mut broker = Kafka::start(&KafkaOptions::default()).unwrap();
    let bootstrap = broker.bootstrap();
    assert!(answers(&bootstrap));
    let meta = broker.dir().join("kafka-data/meta.properties");
    let before = fs::read_to_string(&meta).unwrap();

    broker.stop().unwrap();
    assert!(TcpStream::connect(&bootstrap).is_err());
    broker.start_again().unwrap();
    assert!(answers(&bootstrap));
    broker.kill_9().unwrap();
    assert_eq!(broker.pid(), None);
    broker.start_again().unwrap();
    assert!(answers(&bootstrap));
    broker.pause().unwrap();
    broker.resume().unwrap();
    assert!(answers(&bootstrap));
    assert_eq!(fs::read_to_string(&meta).unwrap(), before);

    let dir = broker.dir().to_owned();
    drop(broker);
    assert!(!dir.exists());
}

#[test]
fn every_listener_opens_and_the_proxied_one_is_behind_the_proxy() {
    let options = KafkaOptions {
        tls: true,
        authorizer: true,
        ..KafkaOptions::default()
    };
    let options = options
        .user("alice", "wonder land")
        .property("message.max.bytes", "20000");
    let (broker, proxy) = Kafka::start_behind_proxy(&options).unwrap();
    assert!(answers(&broker.bootstrap()));
    assert!(answers(&broker.sasl_bootstrap().unwrap()));
    assert!(TcpStream::connect(broker.tls_bootstrap().unwrap()).is_ok());
    assert!(TcpStream::connect(broker.sasl_tls_bootstrap().unwrap()).is_ok());
    assert!(broker.certificates().unwrap().ca().exists());
    assert!(answers(&proxy.address().to_string()));
    assert_eq!(proxy.connections(), 1);
    proxy.refuse();
    assert!(TcpStream::connect(proxy.address()).is_err());
    assert!(answers(&broker.bootstrap()));
}
