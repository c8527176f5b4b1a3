# Each stream's promise, and the field that weakens it.
$ headwater explain examples/pipelines/fan-out.yaml
exit 0
--- stdout
pipeline fan-out
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
  on error       stop the pipeline and name the message

decoder bytes (protobuf), from telemetry
  message        bench.v1.Event
  to             raw bytes
  on error       stop the pipeline and name the message

sink readable (kafka), from json
  brokers        127.0.0.1:9092
  topic          telemetry.json (created if missing: 6 partitions, replication 1)
  delivery       exactly_once: records and progress in one transaction
  key            device_id
  partition      by key (murmur2)
  progress       topic __fan-out.progress

sink compact (kafka), from bytes
  brokers        127.0.0.1:9092
  topic          telemetry.protobuf (created if missing: 6 partitions, replication 1)
  delivery       exactly_once: records and progress in one transaction
  key            device_id
  partition      by key (murmur2)
  headers        headwater-shard, headwater-generation, headwater-session, headwater-sequence
  static headers schema (values not shown)
  progress       topic __fan-out.progress

sink terminal (stdout), from json
  to             standard output, one line a record

streams
  telemetry → readable: exactly_once, every message once, in order within a partition, for read_committed readers
  telemetry → compact: exactly_once, every message once, in order within a partition, for read_committed readers
  telemetry → terminal: none, nothing outlives the process
    weakened by terminal.kind: this sink keeps nothing
