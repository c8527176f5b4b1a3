$ headwater explain examples/pipelines/many-shards.yaml
exit 0
--- stdout
pipeline many-shards
  workers        2
  commit         every 50 ms, or after 4 MiB
  memory         12 MiB received and not yet committed

source fleet (grpc)
  shards         6 shards
  shard          fleet/east/all at http://127.0.0.1:50051
  shard          fleet/east/bremen at http://127.0.0.1:50051
  shard          fleet/east/large at http://127.0.0.1:50051
  shard          fleet/west/all at http://127.0.0.1:50052
  shard          fleet/west/bremen at http://127.0.0.1:50052
  shard          fleet/west/large at http://127.0.0.1:50052
  method         bench.v1.Telemetry/Subscribe
  message        bench.v1.Event
  cursor         sequence from sequence
  resume         the server goes on at the value that follows the cursor; a new call's request sets from_sequence to ${cursor.sequence}
  boundary       a restart may begin after each message
  sequence       values never fall; lower ones are repetitions
  on end         call again

decoder json (protobuf), from fleet
  message        bench.v1.Event
  to             JSON
  on error       stop the pipeline and name the message

sink topic (kafka), from json
  brokers        127.0.0.1:9092
  topic          fleet (created if missing: 12 partitions, replication 1)
  delivery       exactly_once: records and progress in one transaction
  key            none
  partition      by shard: each shard's records in one partition, in order
  progress       topic __many-shards.progress

streams
  fleet → topic: exactly_once, every message once, in order within a partition, for read_committed readers
