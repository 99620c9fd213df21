//! Two network namespaces joined by a veth pair, one the pod and one the client, and servers in them.
//!
//! Everything is made by the test and removed when it is dropped, also after a failure.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rasp_proxy::init::Config;
use rustix::fd::AsFd;
use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use rustix::net::{Shutdown, shutdown};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub(crate) const POD_V4: &str = "192.0.2.2";
pub(crate) const POD_V6: &str = "fd00:db8::2";
const CLIENT_V4: &str = "192.0.2.1";
const CLIENT_V6: &str = "fd00:db8::1";
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn v4(port: u16) -> SocketAddr {
    SocketAddr::new(POD_V4.parse().unwrap(), port)
}

pub(crate) fn v6(port: u16) -> SocketAddr {
    SocketAddr::new(POD_V6.parse().unwrap(), port)
}

/// Configuration of the pod, with one port to skip.
pub(crate) fn mk_config(skip_ports: &[u16]) -> Config {
    Config {
        skip_ports: skip_ports.iter().copied().collect(),
        pod_ips: vec![POD_V4.parse().unwrap(), POD_V6.parse().unwrap()],
        host_ips: vec![CLIENT_V4.parse().unwrap(), CLIENT_V6.parse().unwrap()],
    }
}

pub(crate) struct World {
    pub(crate) pod: Namespace,
    pub(crate) client: Namespace,
}

impl World {
    pub(crate) fn new() -> Self {
        require_tools();
        let world = Self { pod: Namespace::new("pod"), client: Namespace::new("client") };
        let (pod, client) = (&world.pod, &world.client);
        let link =
            ["link", "add", "eth0", "netns", &pod.0, "type", "veth", "peer", "eth0", "netns", &client.0];
        run("ip", &link);
        pod.up(POD_V4, POD_V6);
        client.up(CLIENT_V4, CLIENT_V6);
        world
    }

    /// What a client outside the pod gets at this address.
    pub(crate) fn dial(&self, address: SocketAddr) -> Answer {
        self.client.inside(|| Answer::of(connect(address)))
    }
}

fn require_tools() {
    assert!(
        rustix::process::geteuid().is_root(),
        "these tests make network namespaces: run them as root, or leave them out with `cargo test --lib`"
    );
    let missing: Vec<&str> = ["ip", "nft", "setpriv"]
        .into_iter()
        .filter(|tool| Command::new(tool).arg("--version").output().is_err())
        .collect();
    assert!(missing.is_empty(), "missing {missing:?}: apt-get install -y iproute2 nftables util-linux");
}

pub(crate) struct Namespace(String);

impl Namespace {
    pub(crate) fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rasp-init-test-{}-{number}-{role}", std::process::id());
        run("ip", &["netns", "add", &name]);
        Self(name)
    }

    fn up(&self, v4: &str, v6: &str) {
        for arguments in [
            format!("addr add {v4}/24 dev eth0"),
            // Without duplicate address detection the address can be used at once.
            format!("addr add {v6}/64 dev eth0 nodad"),
            "link set lo up".to_owned(),
            "link set eth0 up".to_owned(),
        ] {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            run("ip", &[&["-n", &self.0], arguments.as_slice()].concat());
        }
    }

    /// Runs `what` on a thread that lives in this namespace; sockets and processes it makes stay there.
    pub(crate) fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&self.0);
                    what()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program in this namespace.
    pub(crate) fn command(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.inside(|| Command::new(program).args(arguments).envs(environment).output().unwrap())
    }

    pub(crate) fn nft(&self, arguments: &str) -> String {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = self.command("nft", &arguments, &[]);
        assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A server that greets with its label, and with the original destination as it sees it, and then echoes lines.
    pub(crate) fn serve(&self, label: &'static str, address: SocketAddr) -> Server {
        self.listen(label, move || TcpListener::bind(address).unwrap())
    }

    /// The same on all IPv6 addresses and no IPv4 address.
    pub(crate) fn serve_v6_only(&self, label: &'static str, port: u16) -> Server {
        self.listen(label, move || {
            let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
            socket.set_only_v6(true).unwrap();
            let address: SocketAddr = ([0u16; 8], port).into();
            socket.bind(&address.into()).unwrap();
            socket.listen(16).unwrap();
            socket.into()
        })
    }

    fn listen(&self, label: &'static str, bind: impl FnOnce() -> TcpListener + Send) -> Server {
        let listener = self.inside(bind);
        let accepting = listener.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                std::thread::spawn(move || greet(label, stream));
            }
        });
        Server { listener, thread: Some(thread) }
    }

    /// An UDP socket in this namespace, not yet connected to anything.
    pub(crate) fn udp(&self, address: SocketAddr) -> UdpSocket {
        let socket = self.inside(|| UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // No panic here: it may run because of one.
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn enter(name: &str) {
    let namespace = std::fs::File::open(format!("/var/run/netns/{name}")).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Stops listening when dropped.
pub(crate) struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ends the blocked accept, which closing alone would not.
        let _ = shutdown(&self.listener, Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn greet(label: &str, stream: TcpStream) {
    let original = match stream.peer_addr().map(|peer| peer.ip().to_canonical()) {
        Ok(IpAddr::V4(_)) => ip_original_dst(&stream).ok().map(SocketAddr::V4),
        Ok(IpAddr::V6(_)) => ipv6_original_dst(&stream).ok().map(SocketAddr::V6),
        Err(_) => None,
    };
    let original = original.map_or_else(|| "none".to_owned(), |address| address.to_string());
    let Ok(mut writing) = stream.try_clone() else { return };
    if writeln!(writing, "{label} {original}").is_err() {
        return;
    }
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        if writeln!(writing, "{line}").is_err() {
            return;
        }
    }
}

/// A connection whose greeting was read.
pub(crate) struct Conversation {
    reader: BufReader<TcpStream>,
    pub(crate) greeting: String,
}

impl Conversation {
    /// Sends a line and reads it back.
    pub(crate) fn echoes(&mut self, line: &str) -> bool {
        let mut answer = String::new();
        writeln!(self.reader.get_ref(), "{line}").is_ok()
            && self.reader.read_line(&mut answer).is_ok()
            && answer.trim_end() == line
    }
}

pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Conversation> {
    connect_within(address, PATIENCE)
}

pub(crate) fn connect_within(address: SocketAddr, patience: Duration) -> std::io::Result<Conversation> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut reader = BufReader::new(stream);
    let mut greeting = String::new();
    reader.read_line(&mut greeting)?;
    Ok(Conversation { reader, greeting: greeting.trim_end().to_owned() })
}

/// What the client sees.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Label of the server, and what it took for the original destination.
    Greeting(String),
    /// A TCP reset instead of a connection.
    Refused,
    Other(ErrorKind),
}

impl Answer {
    pub(crate) fn of(result: std::io::Result<Conversation>) -> Self {
        match result {
            Ok(conversation) => Self::Greeting(conversation.greeting),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Self::Refused,
            Err(error) => Self::Other(error.kind()),
        }
    }

    /// The stand-in of the sidecar answered, and knows where the client wanted to go.
    pub(crate) fn sidecar(address: SocketAddr) -> Self {
        Self::Greeting(format!("sidecar {address}"))
    }

    /// The application answered itself.
    pub(crate) fn is_app(&self) -> bool {
        matches!(self, Self::Greeting(greeting) if greeting.starts_with("app "))
    }
}
