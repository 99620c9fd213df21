//! TLS that ends in the sidecar, with the certificate of a Secret that is renewed while the pod runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http::{self, Outcome};
use rasp_e2e::product::{ATTACK, BENIGN, ENABLED, ROLLOUT, policy, sample, sidecar_metrics};
use rasp_e2e::workload::{PORT, addresses, nginx, ready_pods, restarts};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "shop.e2e.test";
/// The application speaks plain HTTP there.
const TLS_PORT: u16 = 8443;

#[tokio::test]
async fn a_sidecar_ends_tls_inspects_what_is_in_it_and_serves_a_renewed_certificate_without_a_restart()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    let (first, second) = (certificate()?, certificate()?);
    secret(&cluster, &shop.name, &first.cert.pem(), &first.signing_key.serialize_pem()).await?;
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
    secret(&cluster, &shop.name, &second.cert.pem(), &second.signing_key.serialize_pem()).await?;
    let renewed = || async { Ok(get(address, &second, BENIGN).await.ok().map(|outcome| outcome.status())) };
    let status = wait_for("the renewed certificate to be served", ROLLOUT, renewed).await?;
    ensure!(status == Some(200), "{status:?}");
    ensure!(get(address, &first, BENIGN).await.is_err(), "the old certificate is served no more");
    keep_alive(&mut open).await.context("the connection of before goes on")?;

    // A certificate with the key of another is refused, counted, and changes nothing.
    secret(&cluster, &shop.name, &first.cert.pem(), &second.signing_key.serialize_pem()).await?;
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

async fn secret(cluster: &Cluster, namespace: &str, certificate: &str, key: &str) -> anyhow::Result<()> {
    let secret = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-tls"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key},
    });
    cluster.apply(namespace, &secret.to_string()).await.map(drop)
}

/// A client that believes this one certificate.
async fn connect(
    address: SocketAddr,
    trusted: &CertifiedKey<KeyPair>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let connect = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME)?, stream);
    Ok(tokio::time::timeout(Duration::from_secs(10), connect).await??)
}

async fn get(address: SocketAddr, trusted: &CertifiedKey<KeyPair>, target: &str) -> anyhow::Result<Outcome> {
    let stream = connect(address, trusted).await?;
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
