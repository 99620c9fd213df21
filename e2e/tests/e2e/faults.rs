//! Parts that die: the sidecar by the node, the operator by a person.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http::{self, Outcome};
use rasp_e2e::node::Sidecar;
use rasp_e2e::product::{ATTACK, BENIGN, policy, scale_operator};
use rasp_e2e::workload::{PORT, log, name, protected_web, ready_pods, restarts, uid};

/// A policy that no default could explain.
const TEAPOT: &str = "{mode: Block, response: {status: 418, body: teapot}}";

#[tokio::test]
async fn while_a_killed_sidecar_is_away_the_port_is_closed_and_never_open() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let (shop, pod, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "teapot", TEAPOT).await?;
    ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(418));

    Sidecar::of_pod(&uid(&pod))?.kill()?;
    let (start, mut closed, mut back) = (Instant::now(), 0, 0);
    while back < 50 {
        ensure!(start.elapsed() < Duration::from_secs(60), "the sidecar is not back; closed {closed} times");
        match http::get(ip, PORT, ATTACK).await {
            Outcome::Answered(response) if response.status == 418 => back += 1,
            Outcome::Answered(response) => anyhow::bail!("open: {}", response.head),
            Outcome::Refused | Outcome::Cut => closed += 1,
            Outcome::Silence => anyhow::bail!("a closed port answers at once"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("closed for {closed} attempts, back after {:?}", start.elapsed());
    ensure!(closed > 0, "the kill was seen");
    ensure!(http::get(ip, PORT, BENIGN).await.status() == Some(200));
    let access = log(&cluster, &shop.name, &name(&pod), "web").await?;
    ensure!(!access.contains("id=1%27"), "no attack reached the application:\n{access}");
    Ok(())
}

#[tokio::test]
async fn without_an_operator_traffic_and_blocking_go_on_even_for_a_fresh_sidecar() -> anyhow::Result<()> {
    let cluster = Cluster::connect_alone().await?;
    let (shop, pod, ip) = protected_web(&cluster).await?;
    policy(&cluster, &shop.name, "teapot", TEAPOT).await?;

    let replicas = scale_operator(&cluster, 0).await?;
    let without = async {
        for _ in 0..20 {
            ensure!(http::get(ip, PORT, BENIGN).await.status() == Some(200));
            ensure!(http::get(ip, PORT, ATTACK).await.status() == Some(418));
        }
        Sidecar::of_pod(&uid(&pod))?.kill()?;
        let fresh = || async {
            let now = ready_pods(&cluster, &shop.name, "web", 1).await?.remove(0);
            Ok((restarts(&now, "rasp-proxy") == 1).then_some(()))
        };
        wait_for("a fresh sidecar container", Duration::from_secs(60), fresh).await?;
        for _ in 0..20 {
            ensure!(
                http::get(ip, PORT, ATTACK).await.status() == Some(418),
                "the fresh sidecar has the policy"
            );
            ensure!(http::get(ip, PORT, BENIGN).await.status() == Some(200));
        }
        anyhow::Ok(())
    }
    .await;
    scale_operator(&cluster, replicas).await?;
    without
}
