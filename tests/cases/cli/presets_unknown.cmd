# a name that is none
$ headwater presets aptoss
exit 64
--- stderr
error: "aptoss" is not a preset; there are aptos, firehose, flow-events, hubble-flows, kurrentdb, kurrentdb-stream, spicedb-watch
