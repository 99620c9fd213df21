//! Every annotation that tunes injection, as documentation has it. The table of `docs/injection.md` is written from this
//! by a test; what each one means is decided in `annotation`.

use std::fmt::Write as _;

use rasp_policy::pod;

/// One annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunable {
    /// The annotation.
    pub key: &'static str,
    /// Its values, in Markdown.
    pub value: &'static str,
    /// What it does, in Markdown.
    pub effect: &'static str,
}

/// Every annotation.
pub const TUNABLES: [Tunable; 14] = [
    Tunable {
        key: pod::SKIP_INBOUND_PORTS,
        value: "ports with commas between them, at most 64",
        effect: "these are not intercepted at all",
    },
    Tunable {
        key: pod::OPAQUE_PORTS,
        value: "the same",
        effect: "these go through the sidecar as opaque bytes, uninspected. It is the whole list: the default one (25, 587, 3306, 4444, 5432, 6379, 9300, 11211) and names of ports no longer make a port opaque. An empty value inspects them all",
    },
    Tunable {
        key: pod::PORT_PROTOCOLS,
        value: "`PORT=PROTOCOL` with commas between them, at most 64, for example `\"8080=http,9000=grpc,5432=opaque\"`",
        effect: "[what each port speaks](#what-a-port-speaks)",
    },
    Tunable {
        key: pod::TLS,
        value: "`PORT=SECRET`, for example `\"8443=shop-tls\"`",
        effect: "[TLS on the port ends in the sidecar](tls.md#sidecar), with the certificate of a Secret, and what is in it is inspected as HTTP",
    },
    Tunable {
        key: pod::TRUSTED_PROXIES,
        value: "networks with commas between them, at most 64, for example `\"10.0.0.0/8,fd00::/8\"`",
        effect: "[whose word about the client is believed](#who-the-client-is)",
    },
    Tunable {
        key: pod::PROXY_PROTOCOL_FROM,
        value: "the same",
        effect: "who begins each connection with the PROXY protocol",
    },
    Tunable {
        key: pod::LIMITS,
        value: "`KEY=VALUE` with commas between them",
        effect: "changes [limits and timers](limits.md) of the sidecar",
    },
    Tunable {
        key: pod::INTERCEPTION,
        value: "`redirect` or `none`",
        effect: "[how connections reach the sidecar](#without-net_admin-interception-none). Without it: `none` where the namespace enforces Pod Security `baseline` or `restricted`, else `redirect`",
    },
    Tunable {
        key: pod::PROXY_CPU_REQUEST,
        value: "a quantity, `1m` to `1024`, for example `50m`",
        effect: "requests CPU for our containers instead of the chart value `proxy.resources`",
    },
    Tunable { key: pod::PROXY_CPU_LIMIT, value: "the same", effect: "their CPU limit" },
    Tunable {
        key: pod::PROXY_MEMORY_REQUEST,
        value: "a quantity, `1Mi` to `1Ti`",
        effect: "requests memory for them",
    },
    Tunable {
        key: pod::PROXY_MEMORY_LIMIT,
        value: "a quantity, `32Mi` to `1Ti`",
        effect: "their memory limit, which decides [how much is taken on at once](limits.md)",
    },
    Tunable {
        key: pod::LOG_LEVEL,
        value: "`error`, `warn`, `info`, `debug` or `trace`",
        effect: "how much the sidecar logs on standard error; `info` without it. Events are not logs, and are always written",
    },
    Tunable {
        key: pod::PROXY_IMAGE,
        value: "an image of the chart value `proxy.allowedImages`",
        effect: "runs this image of the proxy, for example to try a version on one workload. Any other is refused",
    },
];

/// The table.
pub fn markdown() -> String {
    let head = "| annotation | value | effect |\n|---|---|---|\n".to_owned();
    TUNABLES.iter().fold(head, |mut table, Tunable { key, value, effect }| {
        let _ = writeln!(table, "| `{key}` | {value} | {effect} |");
        table
    })
}
