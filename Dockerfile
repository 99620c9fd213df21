# Both images of kube-rasp: static binaries, no shell, no other file, not root.
#
# The stage `build` compiles them. Where no base image can be pulled, a folder with the two binaries takes its place:
#   buildah build --build-context build=dist --target proxy .
# which is how the end-to-end tests make the images that they run (e2e/images/product.sh).
ARG RUST_VERSION=1.95

FROM --platform=$BUILDPLATFORM rust:${RUST_VERSION}-bookworm AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
# One `-p` at a time: a build of the whole workspace would unify features and put Kubernetes clients into the sidecar.
RUN set -eu; \
    host=$(rustc -vV | sed -n 's/^host: //p'); \
    case "${TARGETARCH:-}" in \
      amd64) target=x86_64-unknown-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu ;; \
      "") target=$host ;; \
      *) echo "no target triple for TARGETARCH=$TARGETARCH: add it here" >&2; exit 1 ;; \
    esac; \
    if [ "$target" != "$host" ]; then \
      gnu=$(echo "$target" | sed 's/-unknown//'); \
      apt-get update; apt-get install -y --no-install-recommends "gcc-$(echo "$gnu" | tr _ -)" "libc6-dev-$TARGETARCH-cross"; \
      rustup target add "$target"; \
      export "CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_LINKER=$gnu-gcc"; \
    fi; \
    for package in rasp-proxy rasp-operator; do \
      cargo build --locked --profile dist --target "$target" -p "$package"; \
      cp "target/$target/dist/$package" /; \
    done

FROM scratch AS proxy
ARG VERSION=dev
LABEL org.opencontainers.image.title="kube-rasp proxy" \
      org.opencontainers.image.description="Inspects HTTP requests before the application port: sidecar and gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /rasp-proxy /rasp-proxy
# The UID of the sidecar in every pod. The init container overrides it: it needs UID 0 with NET_ADMIN alone.
USER 62102:62102
ENTRYPOINT ["/rasp-proxy"]

FROM scratch AS operator
ARG VERSION=dev
LABEL org.opencontainers.image.title="kube-rasp operator" \
      org.opencontainers.image.description="Injects sidecars and keeps their policy up to date" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /rasp-operator /rasp-operator
USER 65532:65532
ENTRYPOINT ["/rasp-operator"]
