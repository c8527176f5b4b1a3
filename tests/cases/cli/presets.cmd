# what presets there are
$ headwater presets
exit 0
--- stdout
aptos              Aptos: transactions of the chain in order, from the transaction stream service.
etcd-watch         etcd v3 Watch: every change of the keys that are watched, in the order of their revisions.
firehose           Firehose (The Graph, StreamingFast and others): blocks of a chain, with reorganisations as steps.
flow-events        Flow: events of all blocks from a start block on, by an access node's execution data API.
gnmi               gNMI: the state of a network device and its changes.
google-pubsub      Google Cloud Pub/Sub: a subscription, by StreamingPull.
hubble-flows       Cilium Hubble: network flows as they are observed, from Hubble Relay or an agent.
kurrentdb          KurrentDB and EventStoreDB: a catch-up subscription to $all, every event of the database in order.
kurrentdb-stream   KurrentDB and EventStoreDB: a catch-up subscription to one stream.
lnd-invoices       LND (Lightning): invoices as they are added and settled.
salesforce-pubsub  Salesforce Pub/Sub API: platform events and change data capture of a topic.
spicedb-watch      SpiceDB: changes of relationships, by the watch API.
substreams         Substreams (The Graph, StreamingFast and others): the output of a module for each block of a chain.
vitess-vstream     Vitess VStream: changes of the rows of a keyspace, from VTGate, over all its shards.
yellowstone        Yellowstone gRPC (Geyser) of a Solana validator: accounts, transactions, slots and blocks.
