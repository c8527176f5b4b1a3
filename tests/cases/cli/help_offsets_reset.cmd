$ headwater offsets reset --help
exit 0
--- stdout
Forget where shards stand, so that the next start begins anew.

Records that the server then sends again are written to the topic again. Stop the pipeline first.

Usage: headwater offsets reset [OPTIONS] <FILE>

Arguments:
  <FILE>
          The pipeline file

Options:
      --shard <KEY>
          A shard to forget, as `offsets show` names it; may be given several times. Left out: all

      --yes
          Really forget

      --force
          Forget although an instance seems to run

  -h, --help
          Print help (see a summary with '-h')

Examples:
  headwater offsets reset orders.yaml                       # says what it would forget
  headwater offsets reset orders.yaml --shard feed/eu --yes
