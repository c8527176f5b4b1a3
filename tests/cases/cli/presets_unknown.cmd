# a name that is none
$ headwater presets aptoss
exit 64
--- stderr
error: "aptoss" is not a preset; there are aptos, etcd-watch, firehose, flow-events, gnmi, google-pubsub, hubble-flows, kurrentdb, kurrentdb-stream, lnd-invoices, salesforce-pubsub, spicedb-watch, substreams, vitess-vstream, yellowstone
