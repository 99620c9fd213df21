# The only entry for people and for continuous integration. `make help` lists the targets.
#
# Tests, demo and images share one profile (dev) and one set of features, so that everything is compiled once. Caches:
# cargo's target folder, and $KUBE_RASP_CACHE (default ~/.cache/kube-rasp) for the cluster and the workload images.
# Options: KEEP=1 (make e2e leaves its cluster up), TEST=words (make unit, make e2e: only tests named so).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CLUSTER  := e2e/cluster/cluster.sh
IMAGES   := dist/images
HOST      = $(shell rustc -vV | sed -n 's/^host: //p')
BINARIES  = $(or $(CARGO_TARGET_DIR),target)/$(HOST)/debug
# helm and kubeconform are compiled with the cluster; nothing of them is installed on this machine.
TOOLS     = PATH="$$($(CLUSTER) bin):$$PATH" RASP_OPERATOR="$(BINARIES)/rasp-operator"

# Property tests try the same cases every time, so that a change is judged by what it changes. `make soak` and the fuzz
# targets try others; what they find becomes a case of a test.
SEED      = PROPTEST_RNG_SEED=$(or $(PROPTEST_RNG_SEED),20261126)

.NOTPARALLEL: # two builds at once take longer than one after the other
.PHONY: help demo demo-down test fmt clippy doc unit vectors h2spec arrows generate generated-up-to-date charts soak fuzz deny bench score e2e scale images \
  binaries workloads cluster-build cluster-up cluster-down prerequisites-test prerequisites-cluster

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name what; do printf '  make %-22s %s\n' "$$name" "$$what"; done

demo: images cluster-build ## protect an unchanged web server on a real cluster, and show it
	@e2e/demo/demo.sh $(IMAGES)

demo-down: cluster-down ## remove every trace of the demo

test: prerequisites-test ## every check and test; what continuous integration runs
	@e2e/stages.sh fmt arrows clippy doc unit h2spec cluster-build generated-up-to-date charts images e2e

fmt: ## formatting, checked
	cargo fmt --all --check

arrows: ## what may depend on what
	e2e/checks/arrows.sh

clippy: ## lints, warnings denied
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --test e2e --test scale -- -D warnings # no part of all targets

doc: ## documentation builds without warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

unit: ## unit and integration tests; nothing but this machine's loopback and network namespaces
	$(SEED) cargo test --locked --workspace -- $(TEST)

vectors: ## the vectors of HTTP/1 in the file VECTORS against the proxy, as a table
	RASP_VECTORS=$(abspath $(or $(VECTORS),../shared/vectors/http1.json)) \
	  cargo test --locked -p rasp-proxy --test proxy vectors_of_a_file -- --nocapture

h2spec: ## the conformance suite of HTTP/2, all of its cases, against the gateway
	cargo build --locked -p rasp-proxy
	e2e/h2spec/h2spec.sh "$(BINARIES)/rasp-proxy"

generate: binaries cluster-build ## write the CRD, the install manifests and the chart's README from the sources
	$(TOOLS) sh charts/generate.sh

generated-up-to-date: binaries cluster-build ## the committed generated files are what `make generate` writes
	$(TOOLS) e2e/checks/generated.sh

charts: binaries cluster-build ## charts: lint, rendering, what the schemas refuse
	$(TOOLS) sh charts/check.sh

soak: ## faults in long form, each timed one for SOAK=10m; prints a table (docs/reliability.md)
	cargo build --locked -p rasp-proxy --example passthrough
	@table=$$(mktemp); status=0; \
	RASP_SOAK=$(or $(SOAK),10m) RASP_SOAK_TABLE=$$table cargo test --locked -p rasp-proxy --test faults -- --test-threads=1 $(TEST) || status=$$?; \
	printf '\n| row | promise | measured | RSS KiB/min | files/min | verdict |\n|---|---|---|---|---|---|\n'; \
	sort -V "$$table"; rm -f "$$table"; exit $$status

fuzz: ## fuzz one target for a while: TARGET=exchange TIME=60 (needs cargo-fuzz and a nightly compiler)
	@mkdir -p fuzz/target/corpus/$(TARGET)
	cd fuzz && cargo +nightly fuzz run --fuzz-dir . --sanitizer none $(TARGET) target/corpus/$(TARGET) corpus/$(TARGET) \
	  -- -max_total_time=$(or $(TIME),60) -max_len=4096 >/dev/null

deny: ## licences, bans and sources of all crates (needs cargo-deny)
	cargo deny --locked check bans licenses sources

bench: ## what the proxy costs against a naive one, nginx and HAProxy, in a quarter of an hour (QUICK=1: two minutes)
	cargo build --locked --profile dist -p rasp-proxy
	cargo build --locked --profile dist -p rasp-bench
	"$(dir $(BINARIES))dist/rasp-bench" run $(if $(QUICK),--quick)

score: ## how well detection tells attacks from ordinary requests: CORPORA=folder
	cargo build --locked -p rasp-proxy
	cargo build --locked --release -p rasp-score
	"$(dir $(BINARIES))release/rasp-score" $(or $(CORPORA),../shared/corpora) --proxy "$(BINARIES)/rasp-proxy"

binaries: # one `-p` at a time: a build of the whole workspace would unify features
	cargo build --locked -p rasp-proxy
	cargo build --locked -p rasp-operator

workloads: # images of the servers that tests and demo protect
	e2e/images/workloads.sh $(IMAGES)

images: prerequisites-cluster binaries workloads ## images of kube-rasp and of the test servers, in dist/images
	e2e/images/product.sh "$(BINARIES)" $(IMAGES)

e2e: images cluster-build ## the end-to-end tests, on a cluster of their own
	cargo build --locked -p raspctl
	RASP_E2E_RASPCTL="$(abspath $(BINARIES))/raspctl" e2e/run.sh $(IMAGES)

scale: prerequisites-cluster cluster-build ## the operator, as released, with 2,000 namespaces and 5,000 pods of plain API objects; prints tables (docs/scale.md)
	cargo build --locked --release -p rasp-proxy
	cargo build --locked --release -p rasp-operator
	e2e/images/product.sh "$(dir $(BINARIES))release" $(IMAGES)-release
	e2e/scale.sh $(IMAGES)-release

cluster-build: # compiles Kubernetes the first time
	@$(CLUSTER) build

cluster-up: prerequisites-cluster ## start the local Kubernetes of the demo (nothing of kube-rasp in it)
	@$(CLUSTER) up

cluster-down: ## remove it
	@$(CLUSTER) down

prerequisites-test:
	@e2e/prerequisites.sh test

prerequisites-cluster:
	@e2e/prerequisites.sh cluster
