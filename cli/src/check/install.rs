//! Judges what is installed: the operator, its webhook, its certificate, and whether a pod would be injected. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rasp_policy::pod::PROXY_CONTAINER;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;

use super::line::{Check, Line};
use super::look::{ClusterSeen, Installed, WEBHOOKS};
use super::needs::OPERATOR;
use crate::cluster::{Seen, text};
use crate::fleet;
use crate::print::some;

const DAY: i64 = 24 * 3600;
/// A certificate that ends sooner should have been renewed.
const SOON: i64 = 14 * DAY;

/// What is there already where kube-rasp is to be installed.
pub fn before(seen: &ClusterSeen) -> Line {
    let check = Check::Installation;
    match (&seen.deployment, &seen.webhooks) {
        (Ok(Some(_)), _) => check.pass("kube-rasp is installed: this will be an upgrade"),
        (_, Ok(Some(_))) => check.warn(
            format!("the webhook configuration {WEBHOOKS} is there, and no operator"),
            format!("namespaces that are enforced create no pods now: kubectl delete mutatingwebhookconfiguration {WEBHOOKS}, or install"),
        ),
        (Err(error), _) | (_, Err(error)) => check.unseen(error),
        (Ok(None), Ok(None)) => check.pass("nothing of kube-rasp is there yet"),
    }
}

/// All lines about the installation.
pub fn judge(seen: &Installed) -> Vec<Line> {
    let bundles = seen.webhooks.as_ref().ok().and_then(Option::as_ref).map(bundles).unwrap_or_default();
    vec![
        operator(seen),
        webhook(&seen.webhooks),
        ca_bundle(seen, &bundles),
        validator(seen),
        certificate(seen),
        admission(&seen.admission.0, &seen.admission.1),
        settings(seen),
    ]
}

fn operator(seen: &Installed) -> Line {
    let check = Check::Operator;
    let deployment = match &seen.deployment {
        Ok(Some(deployment)) => deployment,
        Ok(None) => {
            return check.fail(
                format!("there is no Deployment {}/{OPERATOR}", seen.namespace),
                "install the chart kube-rasp, or say where it is: --operator-namespace",
            );
        }
        Err(error) => return check.unseen(error),
    };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let serving = match &seen.endpoints {
        Ok(slices) => serving(slices),
        Err(error) => return check.unseen(error),
    };
    let message =
        format!("{ready} of {wanted} replicas are ready, the Service has {serving} addresses that serve");
    let hint =
        format!("kubectl -n {} get pods; the log of the operator says what it waits for", seen.namespace);
    match (ready, serving) {
        (0, _) | (_, 0) => check.fail(message, hint),
        _ if ready < wanted => check.warn(message, hint),
        (1, _) => check
            .warn(message, "with one replica pods start unprotected while it restarts: operator.replicas=2"),
        _ => check.pass(message),
    }
}

/// Addresses of the operator's Service that take requests. A dual-stack Service has a slice for each family: the fuller one counts.
fn serving(slices: &[EndpointSlice]) -> usize {
    let of_operator = slices.iter().filter(|slice| {
        let labels = slice.metadata.labels.as_ref();
        labels
            .and_then(|labels| labels.get("kubernetes.io/service-name"))
            .is_some_and(|name| name == OPERATOR)
    });
    let ready = |slice: &EndpointSlice| {
        let endpoints = slice.endpoints.iter();
        endpoints
            .filter(|endpoint| {
                endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
            })
            .count()
    };
    of_operator.map(ready).max().unwrap_or(0)
}

fn webhook(webhooks: &Seen<Option<MutatingWebhookConfiguration>>) -> Line {
    let check = Check::Webhook;
    let configuration = match webhooks {
        Ok(Some(configuration)) => configuration,
        Ok(None) => {
            return check.fail(
                format!("there is no MutatingWebhookConfiguration {WEBHOOKS}: no pod is injected"),
                "install the chart kube-rasp again",
            );
        }
        Err(error) => return check.unseen(error),
    };
    let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
    let without: Vec<String> = webhooks
        .iter()
        .filter(|webhook| webhook.client_config.ca_bundle.as_ref().is_none_or(|bundle| bundle.0.is_empty()))
        .map(|webhook| webhook.name.clone())
        .collect();
    if webhooks.is_empty() {
        return check.fail(format!("{WEBHOOKS} has no webhooks"), "install the chart kube-rasp again");
    }
    if !without.is_empty() {
        return check.fail(
            format!("no caBundle in {}", some(&without)),
            "the leading operator writes it within seconds: its log says what keeps it from doing so",
        );
    }
    check.pass(format!("{} webhooks, each with a caBundle", webhooks.len()))
}

/// Nothing but a warning: without it policies are taken, and their status says what is wrong with them.
fn validator(seen: &Installed) -> Line {
    const HINT: &str = "policies are taken unchecked meanwhile; the leading operator writes the caBundle within seconds: its log says what keeps it from doing so";
    let check = Check::Validator;
    let configuration = match &seen.validator {
        Ok(Some(configuration)) => configuration,
        Ok(None) => {
            return check.pass(
                "policies are not compiled when they are written (webhook.validatePolicies is false, or the chart is older)",
            );
        }
        Err(error) => return check.unseen(error),
    };
    for webhook in configuration.webhooks.iter().flatten() {
        let config = &webhook.client_config;
        let Some(bundle) = config.ca_bundle.as_ref().filter(|bundle| !bundle.0.is_empty()) else {
            return check.warn(format!("no caBundle in {}", webhook.name), HINT);
        };
        let (Some(service), Ok(served)) = (&config.service, served(seen)) else { continue };
        let name = format!("{}.{}.svc", service.name, service.namespace);
        if let Err(error) = verify(&bundle.0, &served, &name, seen.now) {
            return check
                .warn(format!("the API server cannot trust the certificate for {name}: {error}"), HINT);
        }
    }
    check.pass("policies are compiled when they are written")
}

/// The caBundle of each webhook, and the name that the API server asks for.
fn bundles(configuration: &MutatingWebhookConfiguration) -> Vec<(Vec<u8>, String)> {
    let webhooks = configuration.webhooks.iter().flatten();
    let mut bundles: Vec<_> = webhooks
        .filter_map(|webhook| {
            let config = &webhook.client_config;
            let service = config.service.as_ref()?;
            Some((config.ca_bundle.clone()?.0, format!("{}.{}.svc", service.name, service.namespace)))
        })
        .collect();
    bundles.sort();
    bundles.dedup();
    bundles
}

fn ca_bundle(seen: &Installed, bundles: &[(Vec<u8>, String)]) -> Line {
    let check = Check::CaBundle;
    let served = match served(seen) {
        Ok(served) => served,
        Err(line) => return line(check),
    };
    if bundles.is_empty() {
        return check.fail("there is no caBundle to compare the certificate with", "see the line webhook");
    }
    for (bundle, name) in bundles {
        if let Err(error) = verify(bundle, &served, name, seen.now) {
            return check.fail(
                format!("the API server cannot trust the certificate for {name}: {error}"),
                "the operator repairs the caBundle within seconds: its log says what keeps it from doing so",
            );
        }
    }
    check.pass(format!(
        "the certificate of {} is signed by the caBundle",
        bundles.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ")
    ))
}

fn certificate(seen: &Installed) -> Line {
    let check = Check::Certificate;
    let served = match served(seen) {
        Ok(served) => served,
        Err(line) => return line(check),
    };
    let end = served.first().and_then(|leaf| {
        x509_parser::parse_x509_certificate(leaf).ok().map(|(_, leaf)| leaf.validity().not_after.timestamp())
    });
    let Some(end) = end else {
        let hint = if seen.certificate.provided {
            "it is made by somebody else than the operator: write a certificate into its Secret"
        } else {
            "delete its Secret: the operator makes another one"
        };
        return check.fail("the serving certificate cannot be read", hint);
    };
    let left = end - seen.now.as_second();
    let until = Timestamp::from_second(end).map_or_else(|_| end.to_string(), |end| end.to_string());
    let message = format!("the serving certificate ends in {} days, at {until}", left.div_euclid(DAY));
    let hint = if seen.certificate.provided {
        format!("whoever makes Secret {}/{} has to renew it", seen.namespace, seen.certificate.secret)
    } else {
        format!(
            "the operator renews it, and its log says what keeps it from doing so; kubectl -n {} rollout restart \
             deployment/{OPERATOR} makes it try",
            seen.namespace
        )
    };
    match left {
        ..=0 => check.fail(message, hint),
        left if left < SOON => check.warn(message, hint),
        _ => check.pass(message),
    }
}

/// The certificates of the Secret, the serving one first; or the line to tell instead.
fn served(seen: &Installed) -> Result<Vec<CertificateDer<'static>>, impl FnOnce(Check) -> Line> {
    let why = match &seen.secret {
        Ok(Some(secret)) => {
            let pem = secret.data.as_ref().and_then(|data| data.get("tls.crt"));
            let chain: Vec<_> = pem
                .iter()
                .flat_map(|pem| CertificateDer::pem_slice_iter(&pem.0))
                .filter_map(Result::ok)
                .collect();
            if !chain.is_empty() {
                return Ok(chain);
            }
            Ok(format!(
                "Secret {}/{} holds no certificate in tls.crt",
                seen.namespace, seen.certificate.secret
            ))
        }
        Ok(None) => Ok(format!("Secret {}/{} is not there", seen.namespace, seen.certificate.secret)),
        Err(error) => Err(error.clone()),
    };
    let hint = if seen.certificate.provided {
        "it is made by somebody else than the operator: cert-manager, or whoever installed the chart"
    } else {
        "the operator makes it: its log says what keeps it from doing so"
    };
    Err(move |check: Check| match why {
        Ok(why) => check.fail(why, hint),
        Err(error) => check.warn(
            format!("not visible: {error}"),
            "the line admission says whether the API server trusts it",
        ),
    })
}

/// As the API server does it.
fn verify(bundle: &[u8], served: &[CertificateDer<'_>], name: &str, now: Timestamp) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let mut roots = RootCertStore::empty();
    // Kubernetes has the bundle in base64, and the client takes that off.
    for root in CertificateDer::pem_slice_iter(bundle) {
        roots.add(root.map_err(|error| said(&error))?).map_err(|error| said(&error))?;
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(std::sync::Arc::new(roots), provider)
        .build()
        .map_err(|error| said(&error))?;
    let (leaf, rest) = served.split_first().ok_or("there is none")?;
    let server = ServerName::try_from(name.to_owned()).map_err(|error| said(&error))?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        u64::try_from(now.as_second()).unwrap_or_default(),
    ));
    verifier.verify_server_cert(leaf, rest, &server, &[], now).map(drop).map_err(|error| said(&error))
}

fn admission(namespace: &str, answer: &Result<Value, kube::Error>) -> Line {
    let check = Check::Admission;
    let pod = match answer {
        Ok(Value::Null) => {
            return check.warn(
                "no pod was tried: every namespace is excluded from injection",
                "name one: --probe-namespace",
            );
        }
        Ok(pod) => pod,
        Err(error) if text(error).contains("failed calling webhook") => {
            return check.fail(
                format!("a pod in {namespace} is refused, because the webhook does not answer: {}", text(error)),
                "see the lines operator and ca_bundle; API servers of private clusters may reach only some ports (docs/injection.md, Availability)",
            );
        }
        Err(error) => {
            return check.warn(
                format!("no pod could be tried in {namespace}: {}", text(error)),
                "name a namespace in which you may create pods: --probe-namespace",
            );
        }
    };
    let containers = pod.pointer("/spec/initContainers").and_then(Value::as_array);
    let is_injected =
        containers.into_iter().flatten().any(|container| fleet::text(container, "/name") == PROXY_CONTAINER);
    if is_injected {
        return check.pass(format!("a pod in {namespace} would get the sidecar (dry run)"));
    }
    check.fail(
        format!("a pod in {namespace} that asks for it would not get the sidecar (dry run)"),
        "the API server does not reach the webhook, or does not trust it: see the lines operator and ca_bundle, and the log of the API server for injector.rasp.dev",
    )
}

fn settings(seen: &Installed) -> Line {
    let check = Check::Settings;
    let settings = match &seen.settings {
        Ok(settings) => settings,
        Err(error) => {
            return check.warn(error.as_str(), "without them raspctl cannot say why a pod is not protected");
        }
    };
    let is_key = |key: &String| BASE64.decode(key).is_ok_and(|key| key.len() == 32);
    if settings.public_keys.is_empty() || !settings.public_keys.iter().all(is_key) {
        return check.fail(
            "the published settings hold no usable signing key",
            "the operator publishes them: its log says what keeps it from doing so",
        );
    }
    check.pass(format!("pods are injected with {}", settings.proxy_image))
}

#[cfg(test)]
mod tests;
