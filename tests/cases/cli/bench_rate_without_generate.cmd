# an option of the generator without the generator
$ headwater bench examples/pipelines/minimal.yaml --rate 5
exit 64
--- stderr
error: the following required arguments were not provided:
  --generate

Usage: headwater bench --generate --rate <N> <FILE>

For more information, try '--help'.
