$ headwater demo --help
exit 0
--- stdout
Show a gRPC stream arriving in Kafka exactly once, with nothing to set up.

Starts a sample gRPC server, a development broker and a pipeline between them, reads the topic back,
and compares at the end what was sent with what was read.

Usage: headwater demo [OPTIONS]

Options:
      --kafka <HOST:PORT>
          Use this Kafka cluster instead of the built-in development broker

      --rate <N>
          Events per second
          
          [default: 1000]

      --duration <SECONDS>
          Stop after so many seconds. Left out: run until Ctrl-C

      --port <PORT>
          Port of the built-in broker; 0 takes a free one. Left out: 9092, or a free one if that is
          taken

      --plain
          Print plain lines, also on a terminal

      --log-level <LEVEL>
          Which log lines are written: a level, or `target=level` pairs
          
          [env: HEADWATER_LOG=]
          [default: error]

  -h, --help
          Print help (see a summary with '-h')

Examples:
  headwater demo
  headwater demo --rate 20000 --duration 30
  headwater demo --kafka localhost:9092

While it runs, any Kafka client can read the topic; the address is shown at the start.
