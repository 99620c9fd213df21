//! Whatever an application listens on, clients and TCP probes get the answer that the unprotected pod would give.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::ensure;
use rasp_e2e::cluster::{Cluster, wait_for};
use rasp_e2e::http;
use rasp_e2e::product::{ATTACK, ENABLED, policy};
use rasp_e2e::workload::{PORT, addresses, ready_pods, service_addresses, shell};
use rasp_policy::pod::INBOUND_PORT;

/// busybox httpd on these addresses; `$V4` and `$V6` are the pod's own.
const SERVERS: [(&str, &[&str]); 6] = [
    ("all", &["0.0.0.0", "[::]"]),
    ("dual", &["[::]"]),
    ("podip4", &["$V4"]),
    ("podip6", &["[$V6]"]),
    ("loopback", &["127.0.0.1", "[::1]"]),
    ("none", &[]),
];

fn manifest(name: &str, binds: &[&str]) -> String {
    let mut script =
        "V4=${POD_IPS%%,*}; V6=${POD_IPS##*,}; mkdir -p /tmp/www; echo hello >/tmp/www/index.html; "
            .to_owned();
    for bind in binds {
        let _ = write!(script, "/bin/busybox httpd -p {bind}:{PORT} -h /tmp/www; ");
    }
    script += "exec /bin/busybox sleep 100000";
    let service = format!(
        "\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  ipFamilyPolicy: RequireDualStack\n  \
         selector: {{app: {name}}}\n  ports: [{{port: {PORT}}}]\n"
    );
    shell(name, &script) + &service
}

#[tokio::test]
async fn every_way_of_listening_answers_as_the_unprotected_pod_does_no_better_and_no_worse()
-> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let plain = cluster.namespace("plain", &[]).await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    policy_without_targets(&cluster, &shop.name).await?;
    for (name, binds) in SERVERS {
        cluster.apply(&plain.name, &manifest(name, binds)).await?;
        cluster.apply(&shop.name, &manifest(name, binds)).await?;
    }
    policy(&cluster, &shop.name, "block", "{mode: Block}").await?;
    let mut differences = Vec::new();
    let mut served = 0;
    for (name, _) in SERVERS {
        let protected = targets(&cluster, &shop.name, name).await?;
        let unprotected = targets(&cluster, &plain.name, name).await?;
        for (ours, theirs) in protected.iter().zip(&unprotected) {
            let family = if ours.ip().is_ipv6() { "IPv6" } else { "IPv4" };
            let answers = [http::get(ours.ip(), PORT, "/").await, http::get(theirs.ip(), PORT, "/").await];
            let accepted = [http::connects(*ours).await, http::connects(*theirs).await];
            let words = answers.each_ref().map(http::Outcome::word);
            if words[0] != words[1] || accepted[0] != accepted[1] || body(&answers[0]) != body(&answers[1]) {
                differences.push(format!("{name} {family} {ours}: {words:?}, accepted {accepted:?}"));
            }
            // What is served is inspected, over every address.
            if words[1] == "200" {
                served += 1;
                let attack = http::get(ours.ip(), PORT, ATTACK).await.word();
                if attack != "403" {
                    differences.push(format!("{name} {family} {ours}: attack got {attack}"));
                }
            }
        }
    }
    ensure!(differences.is_empty(), "protected and unprotected differ:\n{}", differences.join("\n"));
    ensure!(served >= 8, "the table has enough servers that answer: {served}");
    Ok(())
}

#[tokio::test]
async fn the_port_of_the_sidecar_itself_is_refused() -> anyhow::Result<()> {
    let cluster = Cluster::connect().await?;
    let shop = cluster.namespace("shop", &ENABLED).await?;
    cluster.apply(&shop.name, &manifest("all", &["0.0.0.0", "[::]"])).await?;
    let pod = ready_pods(&cluster, &shop.name, "all", 1).await?.remove(0);
    for ip in addresses(&pod)? {
        let direct = http::get(ip, INBOUND_PORT, "/").await;
        ensure!(direct == http::Outcome::Refused, "{ip}: {}", direct.word());
    }
    Ok(())
}

async fn policy_without_targets(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let yaml =
        "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: block}\nspec: {mode: Block}\n";
    cluster.apply(namespace, yaml).await.map(drop)
}

/// Pod IPv4 and IPv6, then Service IPv4 and IPv6.
async fn targets(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let pod = ready_pods(cluster, namespace, name, 1).await?.remove(0);
    let mut ips: Vec<IpAddr> = addresses(&pod)?;
    ips.extend(service_addresses(cluster, namespace, name).await?);
    ensure!(ips.len() == 4, "{name}: {ips:?}");
    let addresses: Vec<SocketAddr> = ips.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect();
    // kube-proxy needs a moment: the Service takes connections once the pod behind it does.
    for (service, pod) in addresses.iter().skip(2).zip(&addresses) {
        let settled =
            || async { Ok((http::connects(*service).await == http::connects(*pod).await).then_some(())) };
        wait_for(&format!("the Service of {name} at {service}"), Duration::from_secs(60), settled).await?;
    }
    Ok(addresses)
}

fn body(outcome: &http::Outcome) -> &[u8] {
    match outcome {
        http::Outcome::Answered(response) => &response.body,
        _ => b"",
    }
}
