# what presets there are
$ headwater presets
exit 0
--- stdout
aptos              Aptos: transactions of the chain in order, from the transaction stream service.
firehose           Firehose (The Graph, StreamingFast and others): blocks of a chain, with reorganisations as steps.
flow-events        Flow: events of all blocks from a start block on, by an access node's execution data API.
hubble-flows       Cilium Hubble: network flows as they are observed, from Hubble Relay or an agent.
kurrentdb          KurrentDB and EventStoreDB: a catch-up subscription to $all, every event of the database in order.
kurrentdb-stream   KurrentDB and EventStoreDB: a catch-up subscription to one stream.
spicedb-watch      SpiceDB: changes of relationships, by the watch API.
