# the options of init
$ headwater init --help
exit 0
--- stdout
Write a first pipeline file for a method, with guesses at what resumes it.

Asks the server for the types, or reads them with --descriptors or --proto. What is guessed is
explained in the file: read it through before you run it.

Usage: headwater init [OPTIONS] <ENDPOINT> <METHOD>

Arguments:
  <ENDPOINT>
          The server, as http://HOST:PORT, https://HOST:PORT or HOST:PORT

  <METHOD>
          The method, as package.Service/Method

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

      --preset <NAME>
          The preset to use; left out, one that is for the method, if there is one

      --no-preset
          Use no preset, but guess

  -o, --output <FILE>
          Where to write the file; an existing one is not overwritten. Left out: standard output

  -h, --help
          Print help (see a summary with '-h')

Examples:
  headwater init http://localhost:50051 bench.v1.Telemetry/Subscribe
  headwater init https://api.example:443 shop.v1.Orders/Watch --output orders.yaml
