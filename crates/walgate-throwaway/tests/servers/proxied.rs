//! The fault proxy before a plain TCP echo.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use walgate_throwaway::{Direction, FaultProxy};

/// Long enough for any step of these tests on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough to be sure that nothing comes; only ever waited for in vain.
const SILENCE: Duration = Duration::from_millis(300);

/// Sends everything back, connection by connection.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            thread::spawn(move || {
                let mut back = socket.try_clone().unwrap();
                std::io::copy(&mut socket, &mut back).ok();
                back.shutdown(std::net::Shutdown::Write).ok();
            });
        }
    });
    address
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let socket = TcpStream::connect(proxy.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn round_trip(socket: &mut TcpStream, text: &[u8]) {
    socket.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    socket.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

#[test]
fn forwards_and_counts() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut first = connect(&proxy);
    round_trip(&mut first, b"hello");
    let mut second = connect(&proxy);
    let big: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut writer = second.try_clone().unwrap();
    let sent = big.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    second.read_to_end(&mut back).unwrap();
    sender.join().unwrap();
    assert!(back == big, "bytes differ");
    assert_eq!(proxy.connections(), 2);
    assert_eq!(proxy.bytes(Direction::ToServer), 1_000_005);
    assert_eq!(proxy.bytes(Direction::ToClient), 1_000_005);
}

#[test]
fn a_cut_resets_what_is_open_and_nothing_after() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut old = connect(&proxy);
    round_trip(&mut old, b"before");
    proxy.cut();
    assert_eq!(proxy.open_connections(), 0);
    let error = old.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    round_trip(&mut connect(&proxy), b"after");
}

#[test]
fn a_stall_keeps_sockets_and_loses_nothing() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut old = connect(&proxy);
    round_trip(&mut old, b"before");
    proxy.stall();
    let mut new = connect(&proxy);
    for socket in [&mut old, &mut new] {
        socket.write_all(b"held").unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        let error = socket.read(&mut [0; 1]).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
    }
    proxy.resume();
    for socket in [&mut old, &mut new] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut back = [0; 4];
        socket.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"held");
    }
}

#[test]
fn one_direction_can_stall_alone() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut socket = connect(&proxy);
    round_trip(&mut socket, b"before");
    proxy.stall_only(Direction::ToClient);
    socket.write_all(b"held").unwrap();
    while proxy.bytes(Direction::ToServer) < 10 {
        thread::yield_now();
    }
    assert_eq!(proxy.bytes(Direction::ToClient), 6);
    proxy.resume();
    let mut back = [0; 4];
    socket.read_exact(&mut back).unwrap();
}

#[test]
fn slices_arrive_piece_by_piece() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut socket = connect(&proxy);
    proxy.slice(3, Duration::from_millis(10));
    let start = Instant::now();
    socket.write_all(b"123456789").unwrap();
    let mut got = Vec::new();
    while got.len() < 9 {
        let mut piece = [0; 9];
        let read = socket.read(&mut piece).unwrap();
        got.extend_from_slice(&piece[..read]);
    }
    assert_eq!(got, b"123456789");
    // Two pauses lie between three pieces.
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn exactly_the_limit_arrives() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut socket = connect(&proxy);
    round_trip(&mut socket, b"before");
    proxy.limit_after(7);
    socket.write_all(b"0123456789").unwrap();
    let mut back = Vec::new();
    socket.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"0123456");
    assert_eq!(proxy.bytes(Direction::ToClient), 13);
    round_trip(&mut connect(&proxy), b"after");
}

#[test]
fn refuses_and_accepts_on_the_same_port() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    let mut old = connect(&proxy);
    round_trip(&mut old, b"before");
    proxy.refuse();
    let error = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    round_trip(&mut old, b"still open");
    proxy.accept();
    round_trip(&mut connect(&proxy), b"after");
}

#[test]
fn a_target_that_is_gone_resets_the_client() {
    let proxy = FaultProxy::without_target().unwrap();
    let mut socket = connect(&proxy);
    let error = socket.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
