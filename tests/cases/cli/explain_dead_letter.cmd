$ headwater explain examples/pipelines/dead-letter.yaml
exit 0
--- stdout
pipeline dead-letter
  workers        one per core
  commit         every 50 ms, or after 4 MiB
  memory         12 MiB received and not yet committed

source telemetry (grpc)
  shards         1 shard
  shard          telemetry/127.0.0.1:50051 at http://127.0.0.1:50051
  method         bench.v1.Telemetry/Subscribe
  message        bench.v1.Event
  cursor         sequence from sequence
  resume         the server goes on at the value that follows the cursor; a new call's request sets from_sequence to ${cursor.sequence}
  boundary       a restart may begin after each message
  sequence       each value follows the last; gaps are reported
  on end         call again

decoder json (protobuf), from telemetry
  message        bench.v1.Event
  to             JSON
  on error       set the message aside, to the sink's dead_letter.topic

sink topic (kafka), from json
  brokers        127.0.0.1:9092
  topic          telemetry (created if missing: 6 partitions, replication 1)
  delivery       exactly_once: records and progress in one transaction
  key            device_id
  partition      by key (murmur2)
  timestamp      emitted_ns in nanoseconds
  dead letters   telemetry.dead (created if missing: 1 partition, replication 1)
  progress       topic __dead-letter.progress

streams
  telemetry → topic: exactly_once, every message once, in order within a partition, for read_committed readers
