# The runner of the review repository: Gitea's, with all that its jobs use. From the root of the project, after the image
# of the steps, whose program it takes:
#   scripts/build-images.sh --engine docker|podman|buildah --runner
# One container for each label, registered at its first start; its folder is a volume, which it keeps what it knows in:
#   docker run --env GITEA_URL=https://gitea.example.com --env GITEA_ADMIN_TOKEN_FILE=/run/secrets/token \
#     --volume ./token:/run/secrets/token:ro --volume goldpath-plan:/var/lib/goldpath-runner localhost/goldpath-runner:v0.1.0 \
#     --repository platform/review --label goldpath-plan
# `--help` there tells the rest. A registered one needs no GITEA_ADMIN_TOKEN_FILE, and should not have it.

# Tags, until `scripts/build-images.sh --pin` appends the digests that the registries have. Debian's packages are those of
# the day of the build.
ARG BASE=debian:bookworm-slim
ARG RUNNER=gitea/runner:1.0.8
ARG TERRAFORM=hashicorp/terraform:1.11.4
ARG GOLDPATH=localhost/goldpath:v0.1.0
ARG BUILDER=rust:1.95.0-bookworm

FROM ${RUNNER} AS runner
FROM ${TERRAFORM} AS terraform
FROM ${GOLDPATH} AS goldpath

FROM ${BUILDER} AS review
WORKDIR /goldpath
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/goldpath/target \
    cp "$(scripts/build-static.sh goldpath-review)/goldpath-review" /

FROM ${BASE}
ARG VERSION=v0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="goldpath-runner" \
      org.opencontainers.image.description="Gitea's runner with Terraform and Goldpath, for the review of pull requests" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# tini takes in the processes that a job leaves behind.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl git jq tini \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65532 -g 65532 -m 700 /var/lib/goldpath-runner
COPY --from=runner /usr/local/bin/gitea-runner /usr/local/bin/
COPY --from=terraform /bin/terraform /usr/local/bin/
COPY --from=goldpath /goldpath /usr/local/bin/
COPY --from=review /goldpath-review /usr/local/bin/
COPY scripts/start-runner.sh /usr/local/bin/
# That each of them starts here.
RUN gitea-runner --version && terraform version && goldpath --version && goldpath-review --version && start-runner.sh --help >/dev/null
VOLUME /var/lib/goldpath-runner
WORKDIR /var/lib/goldpath-runner
USER 65532:65532
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/start-runner.sh", "--folder", "/var/lib/goldpath-runner"]
