# the options of describe
$ headwater describe --help
exit 0
--- stdout
Show what a server offers: its services, or one of them, a method, a message, an enum.

Asks the server by gRPC server reflection. With --descriptors or --proto nothing is contacted, and
ENDPOINT is left out.

Usage: headwater describe [OPTIONS] [ENDPOINT] [NAME]

Arguments:
  [ENDPOINT] [NAME]...
          The server, as http://HOST:PORT, https://HOST:PORT or HOST:PORT, and the full name of what
          to show; left out, the server's services. With --descriptors or --proto only the name

Options:
      --plaintext
          Take HOST:PORT for http:// instead of https://

      --metadata <KEY=VALUE>
          Metadata sent to the server; may be given several times. `${env:NAME}` and `${file:PATH}`
          stand for what should not be in the history of a shell

      --ca-file <FILE>
          Certificate authorities to trust instead of the system's, as PEM

      --certificate-file <FILE>
          This client's certificate, with its chain, as PEM; needs --key-file

      --key-file <FILE>
          The private key of --certificate-file, as PEM

      --server-name <NAME>
          The name the server's certificate must bear, if it is not the host of the URL

      --descriptors <FILE>
          A descriptor set to read the types from, instead of asking the server

      --proto <FILE>
          A `.proto` source to read the types from; may be given several times

      --include <FOLDER>
          A folder in which the imports of --proto are looked for; may be given several times

      --set-out <FILE>
          Also write the types that were shown, with all that they need, as a descriptor set for
          `descriptors.file`. An existing file is not overwritten

  -h, --help
          Print help (see a summary with '-h')

Examples:
  headwater describe http://localhost:50051
  headwater describe localhost:50051 --plaintext bench.v1.Telemetry
  headwater describe https://api.example:443 bench.v1.Telemetry/Subscribe \
    --metadata 'authorization=Bearer ${env:TOKEN}'
  headwater describe --proto telemetry.proto bench.v1.Event
