# the options of a measurement
$ headwater bench --help
exit 0
--- stdout
Measure how fast a pipeline goes here, and how late its records are.

Runs the pipeline beside the real one: under another name, from the beginning of its streams, into
topics of its own that are deleted at the end. Neither the topics nor the progress of the real
pipeline are touched. Its servers see one client more; with `--generate` none of them is called.

Usage: headwater bench [OPTIONS] <FILE>

Arguments:
  <FILE>
          The pipeline file; `-` reads it from standard input

Options:
      --duration <SECONDS>
          How long is measured. Left out: 30, or with `--messages` until all have arrived

      --warm-up <SECONDS>
          How long the pipeline runs before, from its first message on. 0 measures the whole run
          
          [default: 2]

      --broker <BROKER>
          Which broker is written to

          Possible values:
          - file:     That of the pipeline file
          - embedded: The development broker, in memory, in a process of its own
          
          [default: file]

      --generate
          Call a generator instead of the file's servers: it answers with messages of the pipeline's
          own type, numbered in the fields of the cursor

      --rate <N>
          Messages per second and shard. Left out: as many as flow control lets through

      --messages <N>
          End after so many messages of each shard

      --message-bytes <BYTES>
          Grow texts and bytes until a message has about this size

      --seed <N>
          What the messages' contents are drawn from. [default: 1]

      --keep
          Leave the topics that were written

      --json <FILE>
          Write the report as JSON

      --histogram <FILE>
          Write the latencies as HdrHistogram's percentile text (`.hgrm`), in milliseconds

      --plot <FILE>
          Draw the latencies by percentile, as SVG

  -q, --quiet
          Show no live line on the terminal

      --log-level <LEVEL>
          Which log lines are written: a level, or `target=level` pairs
          
          [env: HEADWATER_LOG=]
          [default: warn]

  -h, --help
          Print help (see a summary with '-h')

Examples:
  headwater bench orders.yaml
  headwater bench orders.yaml --generate --broker embedded
  headwater bench orders.yaml --generate --rate 10000 --histogram orders.hgrm --plot orders.svg
