//! A follower behind something that lets no WebSocket pass.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Result, ensure};
use walgate_tests::stop;
use walgate_throwaway::{FaultProxy, PgVersion};

use super::{bed, expect, follow, insert, serve};

/// What is done with a request for a WebSocket.
#[derive(Clone, Copy)]
enum Upgrade {
    /// It is answered with this status and a page.
    Refused(&'static str),
    /// The connection ends.
    Cut,
}

/// A proxy that knows no WebSocket. It serves until the test ends.
fn proxy(target: SocketAddr, upgrade: Upgrade) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || pass(client, target, upgrade));
        }
    });
    Ok(address)
}

fn pass(mut client: TcpStream, target: SocketAddr, upgrade: Upgrade) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    if text.contains("upgrade: websocket") {
        if let Upgrade::Refused(status) = upgrade {
            let page = "<html>no</html>";
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            );
            client.write_all(answer.as_bytes())?;
        }
        return Ok(());
    }
    let mut server = TcpStream::connect(target)?;
    server.write_all(&head)?;
    std::io::copy(&mut server, &mut client)?;
    Ok(())
}

#[test]
fn where_no_websocket_passes_an_event_stream_does() -> Result<()> {
    let bed = bed(PgVersion::V15, "follow_sse")?;
    let (program, at) = serve(&bed)?;
    // Behind the one that refuses stands one that cuts.
    let cutting = FaultProxy::start(at)?;
    let mut row = 1;
    for upgrade in [
        Upgrade::Refused("400 Bad Request"),
        Upgrade::Refused("502 Bad Gateway"),
        Upgrade::Cut,
    ] {
        let between = proxy(cutting.address(), upgrade)?;
        let mut follower = follow(between, &["--format", "json"])?;
        follower.wait_for_log("Server-Sent Events instead")?;
        follower.wait_for_log("following")?;
        insert(&bed, &(row..=row + 9))?;
        expect(&mut follower, row..=row + 9)?;
        cutting.cut();
        insert(&bed, &(row + 10..=row + 19))?;
        expect(&mut follower, row + 10..=row + 19)?;
        follower.wait_for_log("connected again")?;
        row += 20;
        follower.signal("INT")?;
        let ended = follower.wait()?;
        ensure!(
            ended.status.success() && ended.lines.is_empty(),
            "{ended:?}"
        );
        // One who is told to take a WebSocket takes nothing else.
        let args = ["--transport", "websocket", "--no-reconnect"];
        let ended = follow(between, &args)?.wait()?;
        ensure!(!ended.status.success(), "{ended:?}");
    }
    stop(program, &[])?;
    Ok(())
}
