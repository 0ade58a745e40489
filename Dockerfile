# The worker and nothing else: one program, the root certificates, the time zones. Built by its lock file.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock README.md ./
COPY schema schema
COPY src src
RUN cargo build --locked --release --bin strawboss

FROM debian:bookworm-20250811-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates tzdata && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/strawboss /usr/local/bin/strawboss
# No name in /etc/passwd is needed, and no file is written.
USER 65532:65532
WORKDIR /etc/strawboss
ENV STRAWBOSS_LISTEN=0.0.0.0:9464
EXPOSE 9464
STOPSIGNAL SIGTERM
# Asks /readyz of the worker beside it, at the http.listen of the same configuration: no curl, no shell.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["strawboss", "check", "--live"]
ENTRYPOINT ["strawboss"]
CMD ["run"]
