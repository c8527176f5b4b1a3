$ headwater run --metric off x.yaml
exit 64
--- stderr
error: unexpected argument '--metric' found

  tip: a similar argument exists: '--metrics'

Usage: headwater run --metrics <HOST:PORT> <FILE>...

For more information, try '--help'.
