//! Certificates, mounted as kubelet mounts them, and clients and applications that speak TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};

use super::client::Client;

pub type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

#[derive(Clone)]
pub struct Issued {
    pub pem: String,
    pub key_pem: String,
    pub der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "CA of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 30)
    }

    /// A certificate for servers and clients that ends in so many days, or has ended.
    pub fn issue_until(&self, names: &[&str], days: i32) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let end = match u32::try_from(days) {
            Ok(days) => SystemTime::now() + DAY * days,
            Err(_) => SystemTime::now() - DAY * days.unsigned_abs(),
        };
        (params.not_before, params.not_after) = ((SystemTime::now() - 60 * DAY).into(), end.into());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }
}

impl Issued {
    /// Puts the pair where kubelet would, all files at once.
    pub fn mount(&self, directory: &Path, ca: Option<&Authority>) {
        mount(directory, &self.pem, &self.key_pem, ca);
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone().into())
    }
}

/// Two symbolic links: `tls.crt` to `..data/tls.crt`, and `..data` to a directory that is exchanged by renaming.
pub fn mount(directory: &Path, certificate: &str, key: &str, ca: Option<&Authority>) {
    std::fs::create_dir_all(directory).unwrap();
    let data = directory.join("..data");
    let old = std::fs::read_link(&data).ok();
    let name = format!("..{}", SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let new = directory.join(&name);
    std::fs::create_dir(&new).unwrap();
    std::fs::write(new.join("tls.crt"), certificate).unwrap();
    std::fs::write(new.join("tls.key"), key).unwrap();
    if let Some(ca) = ca {
        std::fs::write(new.join("ca.crt"), &ca.pem).unwrap();
    }
    let link = directory.join("..data_tmp");
    std::os::unix::fs::symlink(&name, &link).unwrap();
    std::fs::rename(&link, &data).unwrap();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        let _ = std::os::unix::fs::symlink(Path::new("..data").join(file), directory.join(file));
    }
    if let Some(old) = old {
        std::fs::remove_dir_all(directory.join(old)).unwrap();
    }
}

/// How a client connects.
#[derive(Clone, Copy)]
pub struct Dial<'a> {
    pub versions: &'a [&'static SupportedProtocolVersion],
    pub certificate: Option<&'a Issued>,
    pub protocols: &'a [&'a str],
}

pub const PLAIN: Dial<'static> =
    Dial { versions: &[&rustls::version::TLS13, &rustls::version::TLS12], certificate: None, protocols: &[] };

impl Dial<'_> {
    /// The whole handshake; any certificate is taken.
    pub fn connect(self, address: SocketAddr, name: &str) -> std::io::Result<TlsClient> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any(provider())));
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(vec![own.der.clone()], own.key()).unwrap(),
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, Client::connect(address).stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client::over(stream))
    }
}

pub fn connect(address: SocketAddr, name: &str) -> TlsClient {
    PLAIN.connect(address, name).unwrap()
}

impl TlsClient {
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone()
    }

    pub fn protocol(&self) -> Option<String> {
        self.stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The name that was asked for, and the protocol that was chosen.
pub type Asked = (Option<String>, Option<String>);

/// An application with TLS of its own, which answers every request with a short 200.
pub struct TlsApplication {
    pub address: SocketAddr,
    /// Of each connection with a handshake.
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TlsApplication {
    pub fn start(certificate: &Issued, protocols: &[&str]) -> Self {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der.clone()], certificate.key())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (config, asked) = (Arc::new(config), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let (stream, noted) = (StreamOwned::new(connection, socket), Arc::clone(&noted));
                thread::spawn(move || talk(stream, &noted));
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn talk(mut stream: StreamOwned<ServerConnection, TcpStream>, asked: &Mutex<Vec<Asked>>) -> Option<()> {
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).ok()?;
    }
    let protocol = stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    asked.lock().unwrap().push((stream.conn.server_name().map(str::to_owned), protocol));
    let mut ahead = Vec::new();
    loop {
        while !ahead.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            ahead.extend(byte);
        }
        ahead.clear();
        stream.write_all(super::upstream::OK).ok()?;
    }
}

/// What a client of TLS says first.
pub fn first_message(server: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let server = ServerName::try_from(server.to_owned()).unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), server).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

/// Takes every certificate.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            leaf,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            leaf,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
