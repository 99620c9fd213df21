//! TLS that ends in the sidecar, with the certificate of a Secret that is renewed while the pod runs; TLS that begins
//! there again, and certificates of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http::{self, Outcome};
use rasp_e2e::product::{ATTACK, BENIGN, ENABLED, ROLLOUT, policy, sample, sidecar_metrics};
use rasp_e2e::workload::{NGINX, PORT, addresses, nginx, ready_pods, restarts};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedKey, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "shop.e2e.test";
/// The application speaks plain HTTP there.
const TLS_PORT: u16 = 8443;
/// The sidecar asks for certificates there, and the application speaks plain HTTP.
const MUTUAL_PORT: u16 = 9443;

#[tokio::test]
async fn a_sidecar_ends_tls_inspects_what_is_in_it_and_serves_a_renewed_certificate_without_a_restart()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let (first, second) = (certificate()?, certificate()?);
    secret(&cluster, &shop.name, (&first.cert.pem(), &first.signing_key.serialize_pem(), "")).await?;
    let listen = format!("env: [{{name: LISTEN, value: \"0.0.0.0:{PORT} 0.0.0.0:{TLS_PORT}\"}}]");
    let yaml = nginx("web", 1)
        .replacen(
            "metadata: {labels: {app: web}}",
            &format!(
                "metadata: {{labels: {{app: web}}, annotations: {{config.rasp.dev/tls: \"{TLS_PORT}=shop-tls\"}}}}"
            ),
            1,
        )
        .replacen("imagePullPolicy: Never", &format!("imagePullPolicy: Never\n        {listen}"), 1);
    cluster.apply(&shop.name, &yaml).await?;
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    let address = SocketAddr::new(ip, TLS_PORT);
    policy(&cluster, &shop.name, "web", "{mode: Block}").await?;

    ensure!(get(address, &first, BENIGN).await?.status() == Some(200), "benign over TLS");
    ensure!(get(address, &first, ATTACK).await?.status() == Some(403), "an attack inside TLS");
    ensure!(get(address, &second, BENIGN).await.is_err(), "another certificate is not served yet");
    ensure!(http::get(ip, TLS_PORT, BENIGN).await.status() != Some(200), "nothing falls back to plain text");
    let metrics = sidecar_metrics(ip).await?;
    let port = format!("port=\"{TLS_PORT}\"");
    ensure!(sample(&metrics, "rasp_tls_cert_expiry_seconds", &[&port]) > 0.0, "{metrics}");
    ensure!(sample(&metrics, "rasp_uninspected_connections_total", &[&port]) == 0.0, "{metrics}");

    let mut open = connect(address, &first).await?;
    keep_alive(&mut open).await?;
    secret(&cluster, &shop.name, (&second.cert.pem(), &second.signing_key.serialize_pem(), "")).await?;
    let renewed = || async { Ok(get(address, &second, BENIGN).await.ok().map(|outcome| outcome.status())) };
    let status = wait_for("the renewed certificate to be served", ROLLOUT, renewed).await?;
    ensure!(status == Some(200), "{status:?}");
    ensure!(get(address, &first, BENIGN).await.is_err(), "the old certificate is served no more");
    keep_alive(&mut open).await.context("the connection of before goes on")?;

    // A certificate with the key of another is refused, counted, and changes nothing.
    secret(&cluster, &shop.name, (&first.cert.pem(), &second.signing_key.serialize_pem(), "")).await?;
    let refused = || async {
        let counted = sample(&sidecar_metrics(ip).await?, "rasp_errors_total", &["kind=\"tls_material\""]);
        Ok((counted > 0.0).then_some(()))
    };
    wait_for("the bad Secret to be counted", ROLLOUT, refused).await?;
    ensure!(
        get(address, &second, ATTACK).await?.status() == Some(403),
        "the last good certificate is served"
    );
    let pod = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
    ensure!(restarts(&pod, "rasp-proxy") == 0, "nothing restarted");
    Ok(())
}

fn certificate() -> anyhow::Result<CertifiedKey<KeyPair>> {
    Ok(rcgen::generate_simple_self_signed([NAME.to_owned()])?)
}

/// Certificate, key, and the CA of clients if there is one.
async fn secret(
    cluster: &Cluster,
    namespace: &str,
    (certificate, key, ca): (&str, &str, &str),
) -> anyhow::Result<()> {
    let mut secret = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-tls"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key},
    });
    if let Some(data) = secret["stringData"].as_object_mut().filter(|_| !ca.is_empty()) {
        data.insert("ca.crt".to_owned(), ca.into());
    }
    cluster.apply(namespace, &secret.to_string()).await.map(drop)
}

/// A client that believes this one certificate.
async fn connect(
    address: SocketAddr,
    trusted: &CertifiedKey<KeyPair>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    connect_as(address, trusted.cert.der(), None).await
}

/// A client that believes in this root, and shows a certificate of its own where it has one.
async fn connect_as(
    address: SocketAddr,
    root: &CertificateDer<'static>,
    own: Option<&CertifiedKey<KeyPair>>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
            config.with_client_auth_cert(vec![own.cert.der().clone()], key)?
        }
    };
    let stream = TcpStream::connect(address).await?;
    let connect = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME)?, stream);
    Ok(tokio::time::timeout(Duration::from_secs(10), connect).await??)
}

async fn get(address: SocketAddr, trusted: &CertifiedKey<KeyPair>, target: &str) -> anyhow::Result<Outcome> {
    ask(connect(address, trusted).await?, target).await
}

async fn ask(stream: TlsStream<TcpStream>, target: &str) -> anyhow::Result<Outcome> {
    let request = http::bytes("GET", target, &[], b"");
    let exchange = http::exchange(stream, &request);
    Ok(tokio::time::timeout(Duration::from_secs(10), exchange).await??)
}

/// One request of a connection that stays open.
async fn keep_alive(stream: &mut TlsStream<TcpStream>) -> anyhow::Result<()> {
    let exchange = async {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: e2e.test\r\n\r\n").await?;
        stream.flush().await?;
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n\r\nok\n") {
            ensure!(stream.read_buf(&mut received).await? > 0, "ended after {}", received.escape_ascii());
        }
        ensure!(received.starts_with(b"HTTP/1.1 200 "), "{}", received.escape_ascii());
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await?
}

/// An application that speaks TLS on one port, with the Secret of the sidecar, and says how it was asked.
fn application() -> String {
    let config = format!(
        "daemon off; pid /tmp/nginx.pid; error_log stderr warn; events {{}} http {{ access_log off; \
         client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; \
         uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; server {{ \
         listen 0.0.0.0:{TLS_PORT} ssl; listen 0.0.0.0:{MUTUAL_PORT}; \
         ssl_certificate /tls/tls.crt; ssl_certificate_key /tls/tls.key; location / {{ return 200 $scheme; }} }} }}"
    );
    format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: application}}
data: {{nginx.conf: {config:?}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: bank
  labels: {{app: bank}}
  annotations:
    config.rasp.dev/tls: "{TLS_PORT}=shop-tls,upstream=tls; {MUTUAL_PORT}=shop-tls,client-auth=required"
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: {NGINX}
    imagePullPolicy: Never
    command: ["/usr/sbin/nginx", "-c", "/conf/nginx.conf"]
    volumeMounts: [{{name: conf, mountPath: /conf}}, {{name: tls, mountPath: /tls}}]
  volumes:
  - {{name: conf, configMap: {{name: application}}}}
  - {{name: tls, secret: {{secretName: shop-tls}}}}
"#
    )
}

/// A CA, and what it issues for servers and clients.
struct Authority(Issuer<'static, KeyPair>, rcgen::Certificate);

impl Authority {
    fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "CA of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self(Issuer::new(params, key), certificate))
    }

    fn issue(&self) -> anyhow::Result<CertifiedKey<KeyPair>> {
        let mut params = CertificateParams::new([NAME.to_owned()])?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signing_key = KeyPair::generate()?;
        Ok(CertifiedKey { cert: params.signed_by(&signing_key, &self.0)?, signing_key })
    }
}

#[tokio::test]
async fn a_sidecar_encrypts_again_for_an_application_of_tls_and_asks_clients_for_their_certificates()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let (ours, others) = (Authority::new()?, Authority::new()?);
    let server = ours.issue()?;
    let pair = (server.cert.pem(), server.signing_key.serialize_pem(), ours.1.pem());
    secret(&cluster, &shop.name, (&pair.0, &pair.1, &pair.2)).await?;
    cluster.apply(&shop.name, &application()).await?;
    let pod = ready_pods(&cluster, &shop.name, "bank", 1).await?.remove(0);
    let ip = *addresses(&pod)?.first().context("address")?;
    policy(&cluster, &shop.name, "bank", "{mode: Block}").await?;

    let (known, stranger) = (ours.issue()?, others.issue()?);
    for (port, own, scheme) in [(TLS_PORT, None, "https"), (MUTUAL_PORT, Some(&known), "http")] {
        let address = SocketAddr::new(ip, port);
        let connect = || connect_as(address, ours.1.der(), own);
        let listens = || async { Ok(connect().await.ok().map(drop)) };
        wait_for(&format!("port {port}"), Duration::from_secs(20), listens).await?;
        let Outcome::Answered(answer) = ask(connect().await?, BENIGN).await? else {
            anyhow::bail!("port {port} does not answer")
        };
        ensure!((answer.status, &answer.body[..]) == (200, scheme.as_bytes()), "port {port}: {answer:?}");
        ensure!(ask(connect().await?, ATTACK).await?.status() == Some(403), "an attack on port {port}");
    }
    for (own, kind) in
        [(None, "tls_client_certificate_missing"), (Some(&stranger), "tls_client_certificate_invalid")]
    {
        // In TLS 1.3 a client hears of it with the first answer.
        let refused = async {
            ask(connect_as(SocketAddr::new(ip, MUTUAL_PORT), ours.1.der(), own).await?, BENIGN).await
        };
        ensure!(refused.await.ok().and_then(|outcome| outcome.status()).is_none(), "{kind}");
        // The client may hear of it before it is counted.
        let counted = || async {
            let metrics = sidecar_metrics(ip).await?;
            Ok((sample(&metrics, "rasp_errors_total", &[&format!("kind=\"{kind}\"")]) >= 1.0).then_some(()))
        };
        wait_for(&format!("an error of kind {kind}"), Duration::from_secs(10), counted).await?;
    }
    Ok(())
}
