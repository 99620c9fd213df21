//! One pod: packet rules, sidecar, application, and the operator it reports to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rasp_policy::api::{Mode, RaspPolicySpec};
use rasp_policy::bundle::{Bundle, Entry, Envelope, Namespace, SCHEMA_VERSION, Source};
use rasp_policy::report::Report;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::client::{Client, Response, get};
use crate::upstream::Upstream;
use crate::world::{POD_V4, POD_V6, World};

const BINARY: &str = env!("CARGO_BIN_EXE_rasp-proxy");
pub const APPLICATION: u16 = 8080;
/// The sidecar's port before it, where there are no packet rules.
pub const SERVED: u16 = 16200;
const ADMIN: u16 = 16191;
/// A probe that would be blocked from anybody else.
pub const PROBE: &str = "/healthz?q=1%27%20OR%20%271%27=%271";

pub struct Pod {
    pub application: Upstream,
    pub signer: Signer,
    pub stranger: Signer,
    world: World,
    sidecar: Sidecar,
    reports: Arc<Mutex<Vec<Report>>>,
}

struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    pub fn seal(&self, bundle: &Bundle) -> String {
        self.seal_bytes(&bundle.to_bytes())
    }

    /// Also of what is none.
    pub fn seal_bytes(&self, payload: &[u8]) -> String {
        Envelope::seal(payload, "", |message| self.0.sign(message).as_ref().to_vec()).to_text()
    }
}

pub fn bundle(sequence: u64, mode: Mode) -> Bundle {
    let created_at = "2026-01-01T00:00:00Z".to_owned();
    Bundle {
        schema_version: SCHEMA_VERSION,
        namespace: Namespace { name: "shop".into(), uid: "uid-1".into() },
        sequence,
        entries: vec![Entry::policy(
            Source { name: "p".into(), uid: "p-uid".into(), generation: 3, created_at },
            RaspPolicySpec { mode: Some(mode), ..RaspPolicySpec::default() },
        )],
    }
}

/// In the mount namespace of the sidecar alone, so that nothing is left behind.
const ENTRY: &str = "mount -t tmpfs tmpfs /run && mkdir -p /run/rasp/config /run/rasp/run && chown 62102 /run/rasp/run \
    && exec setpriv --reuid 62102 --regid 62102 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
    \"$0\" sidecar";

impl Pod {
    pub fn start(failure_mode: &str) -> Self {
        let world = World::new();
        let ips = format!("{POD_V4},{POD_V6}");
        let init = world.pod.command(
            BINARY,
            &["init"],
            &[("RASP_POD_IPS", &ips), ("RASP_HOST_IPS", "198.51.100.1")],
        );
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        Self::run(world, failure_mode, "::", "")
    }

    /// No packet rules: the sidecar serves the application, which listens on this address, at [`SERVED`].
    pub fn without_packet_rules(application: &str) -> Self {
        Self::run(World::new(), "Open", application, &format!("{SERVED}={APPLICATION}"))
    }

    fn run(world: World, failure_mode: &str, address: &str, served: &str) -> Self {
        let ips = format!("{POD_V4},{POD_V6}");
        let listen = world.pod.inside(|| TcpListener::bind((address, APPLICATION)).unwrap());
        let application = Upstream::on(listen, |conversation| {
            loop {
                conversation.request()?;
                conversation.write(crate::upstream::OK)?;
            }
        });
        let (desk, ca, reports) = operator(&world);
        let signer = Signer::new();
        let variables = [
            ("RASP_WORKLOAD", "Deployment/web"),
            ("RASP_NAMESPACE", "shop"),
            ("RASP_NAMESPACE_UID", "uid-1"),
            ("RASP_POD_NAME", "web-1"),
            ("RASP_POD_UID", "pod-uid"),
            ("RASP_POD_IPS", &ips),
            ("RASP_OPERATOR_URL", &format!("https://localhost:{}", desk.port())),
            ("RASP_OPERATOR_CA", &ca),
            ("RASP_PUBLIC_KEYS", &BASE64.encode(signer.0.public_key().as_ref())),
            ("RASP_SEQUENCE_FLOOR", "100"),
            ("RASP_FAILURE_MODE", failure_mode),
            ("RASP_SERVED_PORTS", served),
            ("RASP_PROBES", &serde_json::json!([{"port": APPLICATION, "path": PROBE}]).to_string()),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTRY, BINARY]).envs(variables);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let sidecar = Sidecar(world.pod.inside(|| command.spawn().unwrap()));
        let pod = Self { application, signer, stranger: Signer::new(), world, sidecar, reports };
        pod.wait(|pod| pod.connect_inside(SocketAddr::from(([127, 0, 0, 1], ADMIN))).is_ok().then_some(()));
        pod.write_token();
        pod
    }

    fn directory(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/run/rasp/config", self.sidecar.0.id()))
    }

    fn write_token(&self) {
        std::fs::write(self.directory().join("token"), "token").unwrap();
    }

    /// Swaps the Bundle in as kubelet does.
    pub fn mount(&self, envelope: &str) {
        let root = self.directory();
        let generation = format!("..{}", fastrand::u64(..));
        std::fs::create_dir(root.join(&generation)).unwrap();
        std::fs::write(root.join(&generation).join("bundle.v1"), envelope).unwrap();
        std::fs::write(root.join(&generation).join("labels"), "app=\"web\"\n").unwrap();
        let fresh = root.join("..data_tmp");
        symlink(&generation, &fresh).unwrap();
        std::fs::rename(fresh, root.join("..data")).unwrap();
        for name in ["bundle.v1", "labels"] {
            let _ = symlink(Path::new("..data").join(name), root.join(name));
        }
    }

    fn wait<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "it did not come about; reports: {:?}",
                self.reports.lock().unwrap()
            );
            thread::sleep(Duration::from_millis(30));
        }
    }

    pub fn wait_until_ready(&self) {
        self.wait(|pod| (pod.admin("/readyz").status() == 200).then_some(()));
    }

    /// Waits for a report.
    pub fn report(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        self.wait(|pod| pod.reports.lock().unwrap().iter().rev().find(|report| wanted(report)).cloned())
    }

    /// A request from outside the pod.
    pub fn ask(&self, address: SocketAddr, request: &str) -> Response {
        self.world.client.inside(|| crate::client::ask(address, request))
    }

    pub fn admin(&self, path: &str) -> Response {
        self.ask(crate::world::v4(ADMIN), &get(path))
    }

    pub fn metrics(&self) -> String {
        self.admin("/metrics").text()
    }

    fn connect_inside(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        self.world.pod.inside(|| TcpStream::connect(address))
    }

    /// Whether the pod itself is refused or reset there.
    pub fn is_refused_from_inside(&self, address: SocketAddr) -> bool {
        self.world.pod.inside(|| Client::connect(address).is_closed())
    }

    pub fn terminate(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.sidecar.0.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.sidecar.0.wait().unwrap()
    }
}

/// Takes reports on loopback of the pod; returns its address and certificate.
fn operator(world: &World) -> (SocketAddr, String, Arc<Mutex<Vec<Report>>>) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let (config, reports) = (Arc::new(config), Arc::new(Mutex::new(Vec::new())));
    let listener = world.pod.inside(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, kept) = (listener.local_addr().unwrap(), Arc::clone(&reports));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(read) = stream.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&bytes);
                let report =
                    text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                if report.is_some() || read == 0 {
                    kept.lock().unwrap().extend(report);
                    break;
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        }
    });
    (address, certified.cert.pem(), reports)
}
