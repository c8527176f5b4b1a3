# No command is a mistake, told by the help.
$ headwater
exit 64
--- stderr
Streams gRPC server streams into Kafka, exactly once

Usage: headwater <COMMAND>

Commands:
  run           Run pipelines until they end or are asked to stop
  serve         Run pipelines that are made, changed and deleted over REST while the process runs
  validate      Check pipeline files and name all their mistakes [alias: check]
  explain       Show what a pipeline file comes to: nodes, shards, topics, and what each stream is
                promised
  graph         Draw a pipeline file's graph
  describe      Show what a server offers: its services, or one of them, a method, a message, an
                enum
  init          Write a first pipeline file for a method, with guesses at what resumes it
  convert       Make pipeline files of connectors' configurations
  presets       List the presets of sources for known APIs, or print one
  schema        Print the JSON Schema of pipeline files, for editors
  reference     Print the reference of pipeline files: every key, its values, its default, its
                meaning
  offsets       Show or forget where a pipeline stands
  transactions  Show or end what a pipeline may hold open in Kafka
  demo          Show a gRPC stream arriving in Kafka exactly once, with nothing to set up
  bench         Measure how fast a pipeline goes here, and how late its records are
  completions   Print a completion script for a shell
  help          Print this message or the help of the given subcommand(s)

Options:
  -h, --help     Print help (see more with '--help')
  -V, --version  Print version

Exit codes:
    0  done, or stopped on request; everything received is committed
   64  a mistake in a file or on the command line; no stream was called
   65  a pipeline needs a person: a record or topic it cannot handle
   69  no stream is left, or a server that is needed does not answer
   70  a defect of the program; committed progress is safe
   75  not everything was committed in time; the next start goes on
   76  a newer instance has taken the pipeline over
  130  a second signal: left at once; the next start goes on
