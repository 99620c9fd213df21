//! One pod of many protocols: each port does what is declared of it, and what nobody inspects is told.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http::{bytes, connects, raw};
use rasp_e2e::product::{
    ATTACK, BENIGN, ENABLED, condition, condition_is, operator_pods, policy, sample, sidecar_metrics, status,
};
use rasp_e2e::workload::{BUSYBOX, NGINX, PORT, addresses, log, ready_pods};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// HTTP/2 with prior knowledge.
const GRPC: u16 = 8081;
const WEBSOCKET: u16 = 9002;
const EVENTS: u16 = 9003;
/// The server speaks first; declared opaque.
const MAIL: u16 = 2525;
/// The same server, of which nothing is declared.
const UNDECLARED: u16 = 2526;
const LIMIT: Duration = Duration::from_secs(20);

/// The key and the answer to it of RFC 6455 section 1.3; then a text frame, and whatever comes is in the log.
const WEBSOCKET_SERVER: &str = r#"while read -r line; do [ "${#line}" -gt 1 ] || break; done
printf 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
printf 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\201\005hello'
exec cat -v >/proc/1/fd/1
"#;

/// One event at once and another one when somebody asks for `/go`.
const EVENTS_SERVER: &str = r#"read -r line
while read -r field; do [ "${#field}" -gt 1 ] || break; done
case $line in
*/go*) touch /tmp/go; printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok' ;;
*) printf 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n'
  until [ -e /tmp/go ]; do sleep 0.1; done
  printf 'data: 2\n\n' ;;
esac
"#;

fn manifest() -> String {
    let script = format!(
        "cd /tmp; printf '220 ready\\n' >greeting; printf 'cat /tmp/greeting; exec cat' >mail.sh; \
         printf '%s' \"$WEBSOCKET_SERVER\" >websocket.sh; printf '%s' \"$EVENTS_SERVER\" >events.sh; \
         nc -ll -p {EVENTS} -e sh /tmp/events.sh & nc -ll -p {MAIL} -e sh /tmp/mail.sh & \
         nc -ll -p {UNDECLARED} -e sh /tmp/mail.sh & nc -ll -p {WEBSOCKET} -e sh /tmp/websocket.sh & wait"
    );
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata:
  name: many
  labels: {{app: many}}
  annotations:
    config.rasp.dev/port-protocols: "{GRPC}=grpc,{MAIL}=opaque,{WEBSOCKET}=http,{EVENTS}=http"
    config.rasp.dev/limits: "timeout-head=1s"
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: {NGINX}
    imagePullPolicy: Never
    env: [{{name: LISTEN, value: "0.0.0.0:{PORT} h2:0.0.0.0:{GRPC}"}}]
  - name: shell
    image: {BUSYBOX}
    imagePullPolicy: Never
    command: ["/bin/sh", "-c", {script:?}]
    env: [{{name: WEBSOCKET_SERVER, value: {WEBSOCKET_SERVER:?}}}, {{name: EVENTS_SERVER, value: {EVENTS_SERVER:?}}}]
"#
    )
}

/// A pod behind a load balancer of this address, which begins each connection with the PROXY protocol.
fn introduced(balancer: IpAddr) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata:
  name: introduced
  labels: {{app: introduced}}
  annotations: {{config.rasp.dev/proxy-protocol-from: "{balancer}/32"}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: web, image: {NGINX}, imagePullPolicy: Never}}]
"#
    )
}

/// The address that pods see of these tests.
async fn own_address(cluster: &Cluster) -> anyhow::Result<IpAddr> {
    let pod = operator_pods(cluster).await?.into_iter().next().context("a pod of the operator")?;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((*addresses(&pod)?.first().context("address")?, 9))?; // sends nothing
    Ok(socket.local_addr()?.ip())
}

#[tokio::test]
async fn each_port_of_a_pod_speaks_what_is_declared_and_what_is_not_inspected_is_in_the_status()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&shop.name, &(manifest() + "---" + &introduced(own_address(&cluster).await?))).await?;
    let pod = ready_pods(&cluster, &shop.name, "many", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    policy(&cluster, &shop.name, "many", "{mode: Block}").await?;
    for port in [PORT, GRPC, WEBSOCKET, EVENTS, MAIL, UNDECLARED] {
        let listens = || async { Ok(connects(SocketAddr::new(ip, port)).await.then_some(())) };
        wait_for(&format!("port {port}"), LIMIT, listens).await?;
    }

    http2_with_trailers(ip).await.context("HTTP/2")?;
    websocket(ip).await.context("WebSocket")?;
    let heard = || async {
        let log = log(&cluster, &shop.name, "many", "shell").await?;
        Ok(log.contains("good morning").then_some(log))
    };
    let heard = wait_for("what the application heard in its log", LIMIT, heard).await?;
    ensure!(!heard.contains("OR '1'"), "the application heard: {heard}");
    events(ip).await.context("events")?;
    behind_a_load_balancer(&cluster, &shop.name).await.context("PROXY protocol")?;
    for (port, what) in [(MAIL, "declared"), (UNDECLARED, "undeclared")] {
        server_first(SocketAddr::new(ip, port)).await.context(what)?;
    }
    let refused = raw(SocketAddr::new(ip, WEBSOCKET), b"SSH-2.0-OpenSSH_10.0\r\n").await;
    ensure!(
        refused.status() == Some(400),
        "a port that is declared HTTP is never opaque: {}",
        refused.word()
    );
    slow_head(ip).await.context("timeout-head=1s")?;

    let told = |port: u16, reason: &str| format!("port {port} ({reason})");
    let uninspected = status(&cluster, &shop.name, "many", "Inspected is False", |status| {
        condition_is(status, "Inspected", "False")
            && condition(status, "Inspected").is_some_and(|c| c.message.contains(&told(UNDECLARED, "opaque")))
    })
    .await?;
    let condition = condition(&uninspected, "Inspected").context("Inspected")?;
    ensure!(condition.reason == "Uninspected", "{condition:?}");
    ensure!(condition.message.contains(&told(MAIL, "opaque_port")), "{condition:?}");
    for port in [PORT, GRPC, WEBSOCKET, EVENTS] {
        ensure!(!condition.message.contains(&format!("port {port} ")), "{condition:?}");
    }
    Ok(())
}

/// A benign and a refused stream side by side, then a call whose status comes in trailers.
async fn http2_with_trailers(ip: IpAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect((ip, GRPC)).await?;
    let (client, connection) = timeout(LIMIT, h2::client::handshake(stream)).await??;
    tokio::spawn(connection);
    let request = |target: &str| format!("http://e2e.test:{GRPC}{target}");
    let streams = [(BENIGN, StatusCode::OK), (ATTACK, StatusCode::FORBIDDEN)];
    let mut answers = Vec::new();
    for (target, expected) in streams {
        let request = Request::get(request(target)).body(())?;
        let (answer, _) = client.clone().ready().await?.send_request(request, true)?;
        answers.push((answer, expected));
    }
    for (answer, expected) in answers {
        let answer = timeout(LIMIT, answer).await??;
        ensure!(answer.status() == expected, "{} instead of {expected}", answer.status());
    }
    let call = Request::post(request("/shop.Rooms/Select"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut sender) = client.clone().ready().await?.send_request(call, false)?;
    let message = Bytes::from_static(b"\0\0\0\0\x05hello");
    sender.send_data(message.clone(), true)?;
    let mut body = timeout(LIMIT, answer).await??.into_body();
    let mut received = Vec::new();
    while let Some(data) = timeout(LIMIT, body.data()).await? {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        received.extend_from_slice(&data);
    }
    ensure!(received == message, "the message came back as {}", received.escape_ascii());
    let trailers: HeaderMap = timeout(LIMIT, body.trailers()).await??.context("trailers")?;
    ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "{trailers:?}");
    Ok(())
}

async fn websocket(ip: IpAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((ip, WEBSOCKET)).await?;
    stream
        .write_all(
            b"GET /chat HTTP/1.1\r\nhost: e2e.test\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await?;
    let received = read_until(&mut stream, b"\x81\x05hello").await?;
    ensure!(received.starts_with(b"HTTP/1.1 101 "), "{}", received.escape_ascii());
    stream.write_all(&text("good morning\n")).await?;
    stream.write_all(&text("1' OR '1'='1")).await?;
    // Close with 1008, "policy violation".
    let received = read_until(&mut stream, b"\x03\xf0").await?;
    ensure!(received.first() == Some(&0x88), "a close frame: {}", received.escape_ascii());
    Ok(())
}

/// The second event is only said after the first one was heard.
async fn events(ip: IpAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect((ip, EVENTS)).await?;
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: e2e.test\r\n\r\n").await?;
    let received = read_until(&mut stream, b"data: 1\n\n\r\n").await?;
    ensure!(received.starts_with(b"HTTP/1.1 200 "), "{}", received.escape_ascii());
    let go = raw(SocketAddr::new(ip, EVENTS), &bytes("GET", "/go", &[], b"")).await;
    ensure!(go.status() == Some(200), "{}", go.word());
    read_until(&mut stream, b"data: 2\n\n\r\n0\r\n\r\n").await.map(drop)
}

/// The client of an event is whom the header names; who sends none is turned away.
async fn behind_a_load_balancer(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let pod = ready_pods(cluster, namespace, "introduced", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    let address = SocketAddr::new(ip, PORT);
    let introduced = |target: &str| {
        ["PROXY TCP4 192.0.2.7 198.51.100.2 40000 8080\r\n".as_bytes(), &bytes("GET", target, &[], b"")]
            .concat()
    };
    for (target, expected) in [(BENIGN, 200), (ATTACK, 403)] {
        let answer = raw(address, &introduced(target)).await;
        ensure!(answer.status() == Some(expected), "{} instead of {expected}", answer.word());
    }
    let told = || async {
        let log = log(cluster, namespace, "introduced", "rasp-proxy").await?;
        Ok(log.contains(r#""src_endpoint":{"ip":"192.0.2.7","port":40000}"#).then_some(()))
    };
    wait_for("the event to name the client", LIMIT, told).await?;
    let unannounced = raw(address, &bytes("GET", BENIGN, &[], b"")).await;
    ensure!(unannounced.status().is_none(), "{}", unannounced.word());
    let metrics = sidecar_metrics(ip).await?;
    ensure!(sample(&metrics, "rasp_errors_total", &["kind=\"proxy_protocol\""]) >= 1.0, "{metrics}");
    Ok(())
}

/// A text frame of a client, with the mask that changes nothing.
fn text(message: &str) -> Vec<u8> {
    let length = u8::try_from(message.len()).unwrap_or(125).min(125);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], message.as_bytes()].concat()
}

async fn server_first(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let greeting = read_until(&mut stream, b"220 ready\n").await?;
    stream.write_all(b"HELO e2e.test\r\n").await?;
    let echo = read_until(&mut stream, b"HELO e2e.test\r\n").await?;
    ensure!(greeting.len() == 10 && echo.len() == 15, "nothing is added");
    Ok(())
}

/// The limit of the pod's annotation, which is a tenth of the built-in one.
async fn slow_head(ip: IpAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    let cut = raw(SocketAddr::new(ip, PORT), b"GET / HTTP/1.1\r\nhost: e2e.t").await;
    ensure!(cut.status().is_none_or(|status| status == 408), "{}", cut.word());
    ensure!(began.elapsed() < Duration::from_secs(8), "ended after {:?}", began.elapsed());
    // It is counted just after the client has the end.
    let counted = || async {
        let metrics = sidecar_metrics(ip).await?;
        Ok((sample(&metrics, "rasp_errors_total", &["kind=\"head_timeout\""]) >= 1.0).then_some(()))
    };
    wait_for("head_timeout to be counted", LIMIT, counted).await
}

/// Everything up to and with `end`.
async fn read_until(stream: &mut TcpStream, end: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut received = Vec::new();
    let read = async {
        while !received.ends_with(end) {
            ensure!(stream.read_buf(&mut received).await? > 0, "the connection ended");
        }
        Ok(())
    };
    let read = timeout(LIMIT, read).await;
    read.context("in time").flatten().with_context(|| format!("received {}", received.escape_ascii()))?;
    Ok(received)
}
