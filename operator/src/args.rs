//! The command line of `rasp-operator`. Every flag has an environment variable; the chart sets the variables.

use std::net::SocketAddr;
use std::time::Duration;

/// Keeps RaspPolicy objects true in a cluster: injects sidecars, distributes signed policies, reports status.
#[derive(Debug, clap::Parser)]
#[command(name = "rasp-operator", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Runs the webhook and the controller.
    Run(Box<Run>),
    /// Attacks an application in a protected namespace, as `helm test` does.
    Test(Test),
    /// Prints generated files.
    Generate {
        /// Which file.
        #[command(subcommand)]
        what: Generate,
    },
}

/// Generated files.
#[derive(Debug, clap::Subcommand)]
pub enum Generate {
    /// The CustomResourceDefinitions of all kinds as YAML.
    Crd,
}

/// Flags of `rasp-operator test`.
#[derive(Clone, Debug, clap::Args)]
pub struct Test {
    /// The application, `host:port`.
    #[arg(long)]
    pub target: String,
    /// Path that the application answers with 200.
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Status with which its policy blocks.
    #[arg(long, default_value_t = 403)]
    pub blocked: u16,
    /// How long to wait until the application runs and its policy has arrived.
    #[arg(long, default_value = "3m", value_parser = humantime::parse_duration)]
    pub patience: Duration,
}

/// Flags of `rasp-operator run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// Namespace the operator runs in; its Lease and Secrets live there.
    #[arg(long, env = "RASP_OPERATOR_NAMESPACE", default_value = "kube-rasp")]
    pub namespace: String,
    /// Name of this pod; the identity in the Lease and in events.
    #[arg(long, env = "RASP_OPERATOR_POD_NAME")]
    pub pod_name: String,
    /// Name of the operator's Service; also the name of the Lease.
    #[arg(long, env = "RASP_OPERATOR_SERVICE", default_value = "kube-rasp-operator")]
    pub service: String,
    /// Name of the MutatingWebhookConfiguration whose caBundle is kept true.
    #[arg(long, env = "RASP_WEBHOOK_CONFIGURATION", default_value = "kube-rasp-injector")]
    pub webhook_configuration: String,
    /// Name of the ValidatingWebhookConfiguration whose caBundle is kept true. Absent: there is none.
    #[arg(long, env = "RASP_VALIDATOR_CONFIGURATION")]
    pub validator_configuration: Option<String>,
    /// Who keeps the certificate: `self` makes and renews it, with `secret` somebody else does, for example cert-manager.
    #[arg(long, env = "RASP_CERTIFICATE_SOURCE", value_enum, default_value_t = CertificateSource::Own)]
    pub certificate_source: CertificateSource,
    /// Secret with the certificate: tls.crt, tls.key and ca.crt.
    #[arg(long, env = "RASP_CERTIFICATE_SECRET", default_value = "kube-rasp-webhook-tls")]
    pub certificate_secret: String,
    /// Image of the sidecar and its init container.
    #[arg(long, env = "RASP_PROXY_IMAGE")]
    pub proxy_image: String,
    /// Images that pods may choose instead with config.rasp.dev/proxy-image, comma separated.
    #[arg(long, env = "RASP_PROXY_ALLOWED_IMAGES", value_delimiter = ',')]
    pub proxy_allowed_images: Vec<String>,
    /// imagePullPolicy of that image.
    #[arg(long, env = "RASP_PROXY_IMAGE_PULL_POLICY", default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"])]
    pub proxy_image_pull_policy: String,
    /// CPU request of the injected containers.
    #[arg(long, env = "RASP_PROXY_CPU_REQUEST", default_value = "20m")]
    pub proxy_cpu_request: String,
    /// CPU limit of the injected containers.
    #[arg(long, env = "RASP_PROXY_CPU_LIMIT", default_value = "1")]
    pub proxy_cpu_limit: String,
    /// Memory request of the injected containers.
    #[arg(long, env = "RASP_PROXY_MEMORY_REQUEST", default_value = "32Mi")]
    pub proxy_memory_request: String,
    /// Memory limit of the injected containers.
    #[arg(long, env = "RASP_PROXY_MEMORY_LIMIT", default_value = "128Mi")]
    pub proxy_memory_limit: String,
    /// Namespaces that are never injected, comma separated; the operator's own and kube-* are always among them.
    #[arg(long, env = "RASP_EXCLUDED_NAMESPACES", value_delimiter = ',')]
    pub excluded_namespaces: Vec<String>,
    /// How long a pod has to be unprotected, or its sidecar outdated, before an event says so.
    #[arg(long, env = "RASP_WATCHDOG_SETTLE", default_value = "60s", value_parser = humantime::parse_duration)]
    pub watchdog_settle: Duration,
    /// Workloads restarted in a minute, at most, so that their pods become protected. 0: none is ever.
    #[arg(long, env = "RASP_RESTARTS_PER_MINUTE", default_value_t = 0)]
    pub restarts_per_minute: usize,
    /// Where the webhook and the reports are served over TLS.
    #[arg(long, env = "RASP_LISTEN", default_value = "[::]:8443")]
    pub listen: SocketAddr,
    /// Where /metrics, /livez and /readyz are served.
    #[arg(long, env = "RASP_ADMIN_LISTEN", default_value = "[::]:8080")]
    pub admin_listen: SocketAddr,
    /// How long the webhook keeps serving after SIGTERM, until every API server knows that this replica is gone.
    #[arg(long, env = "RASP_SHUTDOWN_GRACE", default_value = "10s", value_parser = humantime::parse_duration)]
    pub shutdown_grace: Duration,
    /// Log filter, for example info or rasp_operator=debug.
    #[arg(long, env = "RASP_LOG", default_value = "info")]
    pub log: String,
}

/// Who keeps the certificate of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CertificateSource {
    /// The operator, with a CA of its own.
    #[value(name = "self")]
    Own,
    /// Whoever writes the Secret.
    Secret,
}

impl Run {
    /// Whether a namespace is excluded from injection by its name.
    pub fn excludes(&self, namespace: &str) -> bool {
        namespace == self.namespace
            || namespace.starts_with("kube-")
            || self.excluded_namespaces.iter().any(|excluded| excluded == namespace)
    }

    /// The URL that sidecars report to.
    pub fn operator_url(&self) -> String {
        format!("https://{}.{}.svc:443", self.service, self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Args, Command};

    #[test]
    fn excludes_its_own_namespace_the_system_and_what_is_named() {
        let args = Args::parse_from([
            "rasp-operator",
            "run",
            "--pod-name=a",
            "--proxy-image=x",
            "--namespace=rasp",
            "--excluded-namespaces=a,b",
        ]);
        let Command::Run(run) = args.command else { panic!("not run") };
        for (namespace, expected) in
            [("rasp", true), ("kube-system", true), ("a", true), ("b", true), ("shop", false)]
        {
            assert_eq!(run.excludes(namespace), expected, "{namespace}");
        }
        assert_eq!(run.operator_url(), "https://kube-rasp-operator.rasp.svc:443");
    }
}
