$ headwater explain examples/pipelines/at-least-once.yaml
exit 0
--- stdout
pipeline at-least-once
  workers        one per core
  commit         every 10 ms, or after 4 MiB
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
  on error       stop the pipeline and name the message

sink topic (kafka), from json
  brokers        127.0.0.1:9092
  topic          telemetry.quick (created if missing: 6 partitions, replication 1)
  delivery       at_least_once: progress follows its records
  key            device_id
  partition      by key (murmur2)
  progress       topic __at-least-once.progress
  properties     linger.ms (values not shown)

streams
  telemetry → topic: at_least_once, no loss; a crash repeats what was not yet followed by its progress
    weakened by topic.delivery: progress follows its records instead of sharing their transaction: a crash repeats what lies between
