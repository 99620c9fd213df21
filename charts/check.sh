#!/bin/sh
# Checks the charts without a cluster: lint, rendering, what the schema must refuse, and that generated files are
# up to date. What an API server says about them is tested end to end.
# Environment: as for charts/generate.sh. Needs python3.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
chart=$root/charts/kube-rasp
HELM=${HELM:-helm}
command -v "$HELM" >/dev/null || { echo "charts: no helm in PATH; set HELM to its path" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HELM HELM_CONFIG_HOME="$work" HELM_CACHE_HOME="$work" HELM_DATA_HOME="$work"
failures=0

fail() {
  echo "charts: $*" >&2
  failures=$((failures + 1))
}

render() { # render OUTPUT [ARGS...]
  output=$1
  shift
  "$HELM" template kube-rasp "$chart" --namespace kube-rasp --kube-version 1.33.0 \
    --skip-tests --values "$chart/ci/minimal-values.yaml" "$@" >"$output" 2>"$output.err"
}

# count FILE PATTERN EXPECTED
count() {
  found=$(grep -c -- "$2" "$1" || true)
  [ "$found" = "$3" ] || fail "$(basename "$1"): '$2' is there $found times, expected $3"
}

# --- lint ---------------------------------------------------------------------------------------------------------
for values in "$chart"/ci/*-values.yaml; do
  "$HELM" lint --strict --quiet "$chart" --values "$values" || fail "lint with $(basename "$values")"
done
"$HELM" lint --strict --quiet "$root/charts/kube-rasp-crds" || fail "lint of kube-rasp-crds"

# --- what is rendered ---------------------------------------------------------------------------------------------
render "$work/minimal" || fail "rendering: $(cat "$work/minimal.err")"
render "$work/full" --values "$chart/ci/full-values.yaml" || fail "rendering: $(cat "$work/full.err")"
# Without the guard rails, whose expressions have words of what they refuse.
render "$work/core" --set guardRails.mode=Off || fail "rendering: $(cat "$work/core.err")"
render "$work/single" --set operator.replicas=1 || fail "rendering: $(cat "$work/single.err")"

# The webhook must not be able to take the cluster down: each of the three excludes these by name and answers in 5 s.
count "$work/core" '^            - kube-system$' 3
count "$work/core" '^            - kube-rasp$' 3
# So do the bindings of the guard rails for pods, opted-in pods, workloads, CronJobs and ephemeral containers.
count "$work/minimal" '^            - kube-system$' 8
count "$work/minimal" '^            - kube-rasp$' 8
count "$work/core" 'timeoutSeconds: 5$' 5 # and the liveness probe, and the validator
count "$work/core" 'failurePolicy: Fail$' 1
count "$work/core" 'failurePolicy: Ignore$' 3
count "$work/full" '^            - cert-manager$' 8
# The operator writes it; a chart that did would take it away at every upgrade.
count "$work/minimal" 'caBundle:' 0
# The validator of policies, with the right to its caBundle and the name for the operator, or nothing of it.
count "$work/minimal" 'kind: ValidatingWebhookConfiguration$' 1
count "$work/minimal" 'kube-rasp-validator' 3
count "$work/full" 'ValidatingWebhookConfiguration\|kube-rasp-validator\|validatingwebhookconfigurations' 0
# Hardening.
count "$work/minimal" 'readOnlyRootFilesystem: true' 1
count "$work/minimal" 'allowPrivilegeEscalation: false' 1
count "$work/minimal" 'drop: \[ALL\]' 1
count "$work/minimal" 'runAsNonRoot: true' 1
count "$work/minimal" 'type: RuntimeDefault' 1
count "$work/core" 'hostNetwork\|hostPath\|privileged' 0
# Least rights: no wildcard, no Secret of other namespaces, no write access to pods.
count "$work/core" '"\*"\|\[\*\]' 0
count "$work/minimal" 'resources: \[secrets\]' 2
# A certificate of somebody else may be read, and the operator's own Secret is the only one it may write.
count "$work/minimal" 'resourceNames: \[kube-rasp-webhook-tls, kube-rasp-signing-key\]' 1
count "$work/full" 'resourceNames: \[kube-rasp-signing-key\]' 1
count "$work/full" 'resourceNames: \[webhook-certificate\]' 1
count "$work/full" 'kind: Certificate$' 1
count "$work/minimal" 'kind: Certificate$' 0
count "$work/minimal" 'resources: \[namespaces, pods\]' 1
# What is in Git is all there is: no Secret, no certificate, nothing random, nothing asked of a cluster while rendering.
# A controller that renders again and again (Argo CD, Flux) must find the same each time.
render "$work/again" && diff "$work/minimal" "$work/again" || fail "rendering twice gives two results"
render "$work/full-again" --values "$chart/ci/full-values.yaml" && diff "$work/full" "$work/full-again" ||
  fail "rendering twice gives two results"
count "$work/full" '^kind: Secret' 0
if grep -rnE '\{\{[^}]*\b(gen(CA|Signed|SelfSigned|PrivateKey)[A-Za-z]*|rand[A-Z][A-Za-z]*|uuidv4|now|lookup)\b' "$chart/templates"; then
  fail "a template makes something that differs from one rendering to the next"
fi
# Guard rails: none without a mode (a bare Off in YAML is false), and Deny only where it is asked for.
for off in Off false; do
  render "$work/off" --set guardRails.mode=$off || fail "rendering: $(cat "$work/off.err")"
  count "$work/off" 'ValidatingAdmissionPolicy' 0
done
render "$work/audit" --set guardRails.mode=Audit || fail "rendering: $(cat "$work/audit.err")"
count "$work/audit" 'validationActions: \[Audit\]' 7
count "$work/minimal" 'validationActions: \[Warn, Audit\]' 7
count "$work/full" 'validationActions: \[Deny, Audit\]' 4
count "$work/full" 'validationActions: \[Warn, Audit\]' 3 # templates of workloads, of CronJobs, and labels of namespaces
# Rights to change workloads only where somebody asked for restarts.
count "$work/minimal" 'poddisruptionbudgets\|RASP_RESTARTS_PER_MINUTE' 0
count "$work/full" 'resources: \[poddisruptionbudgets\]' 1
count "$work/full" 'RASP_RESTARTS_PER_MINUTE' 1
# What depends on the number of replicas and on settings.
count "$work/minimal" 'kind: PodDisruptionBudget' 1
count "$work/single" 'kind: PodDisruptionBudget\|topologySpreadConstraints' 0
count "$work/minimal" 'kind: PodMonitor\|kind: NetworkPolicy' 0
count "$work/full" 'kind: PodMonitor' 2
count "$work/full" 'kind: NetworkPolicy' 1
count "$work/full" 'aggregate-to-edit: "true"' 1
count "$work/minimal" 'aggregate-to-edit' 0
count "$work/full" 'operator:1.2.3@sha256:0123456789abcdef' 1
count "$work/full" 'containerPort: 10250' 1

# --- what the schema refuses, and the words that must be in the message -------------------------------------------
refused() { # refused WORDS ARGS...
  words=$1
  shift
  if render "$work/refused" "$@"; then
    fail "accepted: $*"
  elif ! grep -q -- "$words" "$work/refused.err"; then
    fail "refused $* without saying '$words': $(cat "$work/refused.err")"
  fi
}
refused /images/operator/repository --set images.operator.repository=
refused /images/proxy/repository --set images.proxy.repository=registry.example.com/proxy:tag
refused /images/proxy/digest --set images.proxy.digest=sha256:short
refused /images/pullPolicy --set images.pullPolicy=Sometimes
refused replica --set operator.replica=2
refused /operator/replicas --set operator.replicas=two
refused sidecar --set sidecar.image=x
refused /proxy/resources/limits/memory --set proxy.resources.limits.memory=lots
refused /proxy/resources/requests --set proxy.resources.requests.cpu=null
refused /webhook/certificate/source --set webhook.certificate.source=vault
refused issuerRef --set webhook.certificate.source=certManager
refused /webhook/port --set webhook.port=8080
refused /webhook/excludedNamespaces/0 --set 'webhook.excludedNamespaces={Kube_System}'
refused failurePolicy --set webhook.failurePolicy=Fail
refused /watchdog/settle --set watchdog.settle=soon
refused /watchdog/restart/maxPerMinute --set watchdog.restart.maxPerMinute=0
refused /metrics/podMonitor/interval --set metrics.podMonitor.interval=often
refused /networkPolicy/apiServerPorts --set-json 'networkPolicy.apiServerPorts=[]'

# Every setting, set to something of a wrong type, and an unknown one beside each.
python3 "$root/charts/wrong.py" "$HELM" "$chart" || failures=$((failures + 1))

# --- generated files ----------------------------------------------------------------------------------------------
if sh "$root/charts/generate.sh" "$work/generated"; then
  (cd "$work/generated" && find . -type f) | while read -r file; do
    diff -u "$root/$file" "$work/generated/$file" >&2 || echo "$file is stale; run: make generate"
  done >"$work/stale"
  [ ! -s "$work/stale" ] || fail "$(cat "$work/stale")"
else
  fail "charts/generate.sh failed"
fi

[ "$failures" = 0 ] || { echo "charts: $failures checks failed" >&2; exit 1; }
echo "charts: ok"
