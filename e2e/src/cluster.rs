//! The cluster under test, reached by the kubeconfig in `RASP_E2E_KUBECONFIG` from inside the node's network namespace.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::admissions;

/// Tests run side by side, each in namespaces of its own. One that harms what all of them need waits for the others.
static TURN: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

/// A connection to the cluster under test.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the rights of a cluster administrator.
    pub client: Client,
    kubeconfig: String,
    _turn: Arc<Turn>,
}

#[expect(dead_code, reason = "held until the test ends")]
enum Turn {
    Together(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

/// What `kubectl` or `helm` printed.
#[derive(Debug)]
pub struct Printed {
    /// Whether it exited with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error, where warnings of admission appear.
    pub stderr: String,
}

impl Cluster {
    /// Connects; a missing kubeconfig is an error, never a skipped test.
    pub async fn connect() -> anyhow::Result<Self> {
        let turn = Arc::clone(&TURN).read_owned().await;
        Self::connect_with(Turn::Together(turn)).await
    }

    /// As [`Self::connect`], for a test that changes the operator: no other test runs while this is held.
    pub async fn connect_alone() -> anyhow::Result<Self> {
        let turn = Arc::clone(&TURN).write_owned().await;
        Self::connect_with(Turn::Alone(turn)).await
    }

    async fn connect_with(turn: Turn) -> anyhow::Result<Self> {
        let kubeconfig = variable("RASP_E2E_KUBECONFIG")?;
        let parsed = Kubeconfig::read_from(&kubeconfig).context("read the kubeconfig of the test cluster")?;
        let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        client.apiserver_version().await.context("reach the API server of the test cluster")?;
        let cluster = Self { client, kubeconfig, _turn: Arc::new(turn) };
        admissions::reached(&cluster).await?;
        Ok(cluster)
    }

    /// Makes a namespace with these labels and a name that starts with `prefix`.
    pub async fn namespace(&self, prefix: &str, labels: &[(&str, &str)]) -> anyhow::Result<TempNamespace> {
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some(format!("{prefix}-")),
                labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made =
            Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        let name = made.metadata.name.context("a namespace has a name")?;
        let ready = || async {
            let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
                Api::namespaced(self.client.clone(), &name);
            Ok(accounts.get_opt("default").await?.map(drop))
        };
        wait_for("the default service account", Duration::from_secs(60), ready).await?;
        Ok(TempNamespace { cluster: self.clone(), name })
    }

    /// Runs `kubectl` with `input` on its standard input.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> anyhow::Result<Printed> {
        self.command(&variable("RASP_E2E_KUBECTL")?, arguments, input).await
    }

    /// Runs `helm`, which is beside `kubectl`; fails when it does.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<Printed> {
        let helm = Path::new(&variable("RASP_E2E_KUBECTL")?).with_file_name("helm");
        let printed = self.command(&helm.to_string_lossy(), arguments, "").await?;
        ensure!(printed.success, "helm {arguments:?}:\n{}{}", printed.stdout, printed.stderr);
        Ok(printed)
    }

    async fn command(&self, program: &str, arguments: &[&str], input: &str) -> anyhow::Result<Printed> {
        use tokio::io::AsyncWriteExt as _;
        let mut child = tokio::process::Command::new(program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = tokio::time::timeout(Duration::from_mins(3), child.wait_with_output())
            .await
            .with_context(|| format!("{program} ended in time"))??;
        Ok(Printed {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// `kubectl apply` of YAML into a namespace; returns what was printed and fails when it was refused.
    pub async fn apply(&self, namespace: &str, yaml: &str) -> anyhow::Result<Printed> {
        let printed = self.kubectl(&["-n", namespace, "apply", "--validate=strict", "-f", "-"], yaml).await?;
        ensure!(printed.success, "kubectl apply refused:\n{}\n{yaml}", printed.stderr);
        Ok(printed)
    }
}

/// A namespace that is deleted when the test ends, however it ends.
pub struct TempNamespace {
    cluster: Cluster,
    /// Its name.
    pub name: String,
}

impl Drop for TempNamespace {
    fn drop(&mut self) {
        let (client, name) = (self.cluster.client.clone(), self.name.clone());
        // A runtime of its own: the test's may be unwinding. Deletion goes on in the background.
        let deletion = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let delete = Api::<Namespace>::all(client);
                let parameters = DeleteParams::background().grace_period(0);
                tokio::time::timeout(Duration::from_secs(5), delete.delete(&name, &parameters)).await.ok()
            })
        });
        let _ = deletion.join();
    }
}

/// Reads an environment variable that `make e2e` sets.
pub fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; run these tests by `make e2e`"))
}

/// Asks every 100 ms until there is an answer; an error of `ask` is an answer too.
pub async fn wait_for<T, F>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await.with_context(|| format!("waiting for {what}"))? {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
