# The nearest command is named; the code is 64, not clap's 2.
$ headwater validat x.yaml
exit 64
--- stderr
error: unrecognized subcommand 'validat'

  tip: a similar subcommand exists: 'validate'

Usage: headwater <COMMAND>

For more information, try '--help'.
