# One static binary, nothing else, nobody's user.
#   docker build -t failoverd .
#   docker run -v ./etc:/etc/failoverd:ro -v failoverd:/var/lib/failoverd -p 53:53/udp -p 53:53/tcp failoverd
FROM rust:1-alpine AS build
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# The manifest names them; their sources stay outside the image.
RUN mkdir -p tests/it tests/peers && echo 'fn main() {}' | tee tests/it/main.rs > tests/peers/main.rs && touch README.md
RUN cargo build --release --locked && mkdir -p /state /config

FROM scratch
COPY --from=build /src/target/release/failoverd /failoverd
COPY --from=build --chown=65532:65532 /state /var/lib/failoverd
COPY --from=build /config /etc/failoverd
USER 65532:65532
# Names and TTLs of the host's resolver come from /etc/resolv.conf; roots are compiled in where the system has none.
EXPOSE 53/udp 53/tcp 9153/tcp
VOLUME ["/var/lib/failoverd"]
ENTRYPOINT ["/failoverd"]
CMD ["run", "--config", "/etc/failoverd/failoverd.toml"]
