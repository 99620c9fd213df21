//! How fast a policy arrives, and what holds while nobody can bring it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::Request;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{
    ATTACK, NAMESPACE, OPERATOR, envelope, patch_mode, policy, sample, scale_operator, sidecar_metrics,
};
use rasp_e2e::workload::{PORT, protected_web, service_addresses};
use rasp_policy::report::AUDIENCE;
use rasp_policy::stream::{Decoder, Frame, PATH};
use tokio::task::JoinSet;

const TEAPOT: &str = "{mode: Block, response: {status: 418}}";

/// From the call of `kubectl` to the first answer by the new policy.
async fn verdict_after_patch(
    cluster: &Cluster,
    namespace: &str,
    ip: IpAddr,
    mode: &str,
) -> anyhow::Result<Duration> {
    let expected = if mode == "Block" { 418 } else { 200 };
    let began = Instant::now();
    patch_mode(cluster, namespace, "web", mode).await?;
    let called = began.elapsed();
    while http::get(ip, PORT, ATTACK).await.status() != Some(expected) {
        ensure!(began.elapsed() < Duration::from_secs(30), "{mode} did not arrive");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{mode}: kubectl took {called:?}, the verdict came after {:?}", began.elapsed());
    Ok(began.elapsed())
}

fn share(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

#[tokio::test]
async fn a_changed_policy_is_in_force_long_before_kubelet_brings_it() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", TEAPOT).await?;
    let mut took = Vec::new();
    for change in 0..10 {
        let mode = if change % 2 == 0 { "Monitor" } else { "Block" };
        took.push(verdict_after_patch(&cluster, &shop.name, ip, mode).await?);
    }
    took.sort();
    println!("from kubectl to the verdict: median {:?}, most {:?}", share(&took, 50), share(&took, 100));
    ensure!(share(&took, 50) < Duration::from_secs(3), "{took:?}");
    let page = sidecar_metrics(ip).await?;
    ensure!(sample(&page, "rasp_policy_source", &["source=\"stream\""]) > 0.5, "{page}");
    ensure!(sample(&page, "rasp_policy_stream_open", &[]) > 0.5, "{page}");
    Ok(())
}

#[tokio::test]
async fn without_any_operator_the_policy_stays_and_a_change_is_caught_up_with_afterwards()
-> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", TEAPOT).await?;
    let replicas = scale_operator(&cluster, 0).await?;
    let without = async {
        let closed = || async {
            Ok((sample(&sidecar_metrics(ip).await?, "rasp_policy_stream_open", &[]) < 0.5).then_some(()))
        };
        wait_for("the stream to end", Duration::from_secs(20), closed).await?;
        patch_mode(&cluster, &shop.name, "web", "Monitor").await?;
        ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(418), "the policy stays");
        anyhow::Ok(())
    }
    .await;
    scale_operator(&cluster, replicas).await?;
    without?;
    let began = Instant::now();
    let caught_up = || async { Ok((http::get(ip, PORT, ATTACK).await.status() == Some(200)).then_some(())) };
    wait_for("the change that was made meanwhile", Duration::from_secs(60), caught_up).await?;
    let open = || async {
        Ok((sample(&sidecar_metrics(ip).await?, "rasp_policy_stream_open", &[]) > 0.5).then_some(()))
    };
    wait_for("a stream to a new replica", Duration::from_secs(45), open).await?;
    println!("caught up, and streaming again, {:?} after the operator was ready", began.elapsed());
    Ok(())
}

/// 200 pods of one namespace that exist for the API server alone, each with a token of its own and a stream to the
/// installed operator, beside one real pod: what a change costs with many listeners. Measures, so it is asked for by
/// name: `make e2e TEST='two_hundred --include-ignored --nocapture'`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, which wants the machine for itself"]
async fn two_hundred_listeners_have_a_changed_policy_within_a_second() -> anyhow::Result<()> {
    const LISTENERS: usize = 200;
    let cluster = Cluster::connect_alone().await?;
    let (shop, _, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "web", TEAPOT).await?;
    let ca = operator_ca(&cluster).await?;
    let operator = *service_addresses(&cluster, NAMESPACE, OPERATOR).await?.first().context("address")?;
    let (arrivals, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let mut opening = JoinSet::new();
    for number in 0..LISTENERS {
        let (cluster, namespace, ca, arrivals) =
            (cluster.clone(), shop.name.clone(), Arc::clone(&ca), arrivals.clone());
        opening.spawn(async move {
            let token = token(&cluster, &namespace, number).await?;
            listen(operator, ca, token, arrivals).await
        });
        if number % 20 == 19 {
            while let Some(opened) = opening.join_next().await {
                opened??;
            }
        }
    }
    for _ in 0..LISTENERS {
        tokio::time::timeout(Duration::from_secs(20), arrived.recv()).await?.context("the first Bundle")?;
    }
    let (mut all, mut verdicts) = (Vec::new(), Vec::new());
    for change in 0..20 {
        let mode = if change % 2 == 0 { "Monitor" } else { "Block" };
        let began = Instant::now();
        verdicts.push(verdict_after_patch(&cluster, &shop.name, ip, mode).await?);
        for _ in 0..LISTENERS {
            let at =
                tokio::time::timeout(Duration::from_secs(20), arrived.recv()).await?.context("a Bundle")?;
            all.push(at - began);
        }
    }
    all.sort();
    verdicts.sort();
    println!("| from kubectl to | p50 | p99 | most |\n|---|---|---|---|");
    for (what, took) in
        [("the envelope at each of 200 listeners", &all), ("the verdict of a pod beside them", &verdicts)]
    {
        println!("| {what} | {:?} | {:?} | {:?} |", share(took, 50), share(took, 99), share(took, 100));
    }
    ensure!(share(&all, 99) < Duration::from_secs(5), "{:?}", share(&all, 99));
    ensure!(!envelope(&cluster, &shop.name).await?.is_empty());
    Ok(())
}

async fn operator_ca(cluster: &Cluster) -> anyhow::Result<Arc<rustls::RootCertStore>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let secret =
        Api::<Secret>::namespaced(cluster.client.clone(), NAMESPACE).get("kube-rasp-webhook-tls").await?;
    let pem = secret.data.and_then(|mut data| data.remove("ca.crt")).context("ca.crt")?.0;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    Ok(Arc::new(roots))
}

/// Makes a pod that is never scheduled, and the token that a kubelet would mount into it.
async fn token(cluster: &Cluster, namespace: &str, number: usize) -> anyhow::Result<String> {
    let name = format!("listener-{number}");
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "labels": {"rasp.dev/inject": "false", "app": "listener"}},
        "spec": {
            "schedulingGates": [{"name": "e2e.test/never"}],
            "containers": [{"name": "none", "image": "none"}],
        },
    }))?;
    let pod = Api::namespaced(cluster.client.clone(), namespace).create(&PostParams::default(), &pod).await?;
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(name),
                uid: pod.metadata.uid,
            }),
            expiration_seconds: Some(3600),
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), namespace);
    let made = accounts.create_token_request("default", &PostParams::default(), &request).await?;
    Ok(made.status.context("a token")?.token)
}

/// Opens a stream and tells when each Bundle came.
async fn listen(
    operator: IpAddr,
    roots: Arc<rustls::RootCertStore>,
    token: String,
    arrivals: tokio::sync::mpsc::UnboundedSender<Instant>,
) -> anyhow::Result<()> {
    let host = format!("{OPERATOR}.{NAMESPACE}.svc");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = tokio::net::TcpStream::connect(SocketAddr::new(operator, 443)).await?;
    let stream = connector.connect(host.clone().try_into()?, stream).await?;
    let (client, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("https://{host}{PATH}"))
        .header("authorization", format!("Bearer {token}"))
        .body(())?;
    let (response, _) = client.ready().await?.send_request(request, true)?;
    let response = response.await?;
    ensure!(response.status() == 200, "{}", response.status());
    tokio::spawn(async move {
        let (_connection, mut body, mut decoder) = (connection, response.into_body(), Decoder::default());
        while let Some(Ok(piece)) = body.data().await {
            let piece: Bytes = piece;
            let _ = body.flow_control().release_capacity(piece.len());
            decoder.push(&piece);
            while let Ok(Some(frame)) = decoder.next_frame() {
                if matches!(frame, Frame::Bundle(_)) {
                    let _ = arrivals.send(Instant::now());
                }
            }
        }
    });
    Ok(())
}
