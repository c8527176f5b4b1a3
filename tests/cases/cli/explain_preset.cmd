# what a preset gives is shown where it counts
$ headwater explain tests/cases/cli/preset.yaml
exit 0
--- stdout
pipeline versions
  workers        one per core
  commit         every 50 ms, or after 4 MiB
  memory         12 MiB received and not yet committed

source chain (grpc)
  shards         1 shard
  shard          chain/grpc.example:443 at https://grpc.example:443
  method         aptos.indexer.v1.RawData/GetTransactions
  message        aptos.indexer.v1.TransactionsResponse
  cursor         version from processed_range.last_version, else transactions[-1].version
  resume         the server goes on at the value that follows the cursor; a new call's request sets starting_version to ${cursor.version}
  boundary       a restart may begin after each message
  sequence       values never fall; lower ones are repetitions
  heartbeat      size(transactions) == 0 is not passed on and moves the cursor
  on end         call again
  preset         aptos, which gives:
                   method: aptos.indexer.v1.RawData/GetTransactions
                   resume.cursor.version.from: ["processed_range.last_version","transactions[-1].version"]
                   resume.position: next
                   resume.sequence: monotone
                   resume.heartbeat.when: size(transactions) == 0
                   resume.restart.set.starting_version: ${cursor.version}

decoder json (protobuf), from chain
  message        aptos.indexer.v1.TransactionsResponse
  to             JSON
  on error       stop the pipeline and name the message

sink out (kafka), from json
  brokers        127.0.0.1:9092
  topic          versions (must exist)
  delivery       exactly_once: records and progress in one transaction
  key            none
  partition      spread: order holds within each partition
  progress       topic __versions.progress

streams
  chain → out: exactly_once, every message once, in order within a partition, for read_committed readers
