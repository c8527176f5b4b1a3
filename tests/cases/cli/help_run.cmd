# Every command's help has an example.
$ headwater run --help
exit 0
--- stdout
Run pipelines until they end or are asked to stop.

All files are checked before anything is contacted. Ctrl-C or SIGTERM stops: the pipelines commit
what they have received and leave. A second signal leaves at once; the next start then goes on
behind the last commit.

Usage: headwater run [OPTIONS] <FILE>...

Arguments:
  <FILE>...
          Pipeline files; `-` reads one from standard input

Options:
      --metrics <HOST:PORT>
          Where to serve /metrics, /healthz and /readyz; `off` serves nothing.
          
          Left out: 127.0.0.1:9464, and without it if that port is taken.

      --api <IP:PORT>
          Serve the API of `headwater serve` here, to look at these pipelines; what changes them is
          refused

      --token-file <FILE>
          Tokens, one a line, of which a request must show one (`Authorization: Bearer TOKEN`). The
          file is read again when it changes

      --tls-certificate <FILE>
          The API's certificate, with its chain, as PEM; read again when it changes

      --tls-key <FILE>
          The private key of --tls-certificate, as PEM

      --tls-client-ca <FILE>
          Certificate authorities of clients, as PEM: a client must show a certificate of theirs

      --insecure-api
          Let everybody in who can reach an address of other machines, without authentication

      --api-rate <N>
          Requests a second that one client of the API may make, and twice as many at once
          
          [default: 100]

      --otlp <URL>
          Send traces and metrics to this OpenTelemetry collector, by OTLP; `off` sends nothing.
          
          In place of the variable OTEL_EXPORTER_OTLP_ENDPOINT. Left out, and without that variable:
          nothing is sent.

      --otlp-protocol <PROTOCOL>
          How the collector is spoken to; port 4318 is usually `http/protobuf`, port 4317 `grpc`.
          
          In place of the variable OTEL_EXPORTER_OTLP_PROTOCOL. Left out, and without that variable:
          http/protobuf.

          Possible values:
          - grpc:          gRPC
          - http/protobuf: Protobuf in the body of an HTTP request

      --log-format <FORMAT>
          How log lines look; they go to standard error

          Possible values:
          - text: key=value pairs
          - json: One JSON object a line
          
          [default: text]

      --log-level <LEVEL>
          Which log lines are written: a level, or `target=level` pairs
          
          [env: HEADWATER_LOG=]
          [default: info]

      --accept-change <HOW>
          What to do with the stored position of a stream whose server, method, request or cursor
          mapping has changed. Left out: refuse to start

          Possible values:
          - resume: Go on from it: it still means the same place
          - reset:  Forget it: the stream begins as if for the first time

  -q, --quiet
          Show no live line on the terminal

  -h, --help
          Print help (see a summary with '-h')

Examples:
  headwater run orders.yaml
  headwater run orders.yaml devices.yaml --log-format json --metrics 0.0.0.0:9464
