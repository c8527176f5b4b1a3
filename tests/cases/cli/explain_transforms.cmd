# A filter before the decoder, steps behind it, topics by day.
$ headwater explain examples/pipelines/transforms.yaml
exit 0
--- stdout
pipeline transforms
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

transform warm (filter), from telemetry
  rule           keep: temperature > 20.0 || alarm

decoder json (protobuf), from warm
  message        bench.v1.Event
  to             JSON
  on error       stop the pipeline and name the message

transform slim (fields), from json
  steps          exclude payload, samples
                 rename deviceId to device
                 cast sequence to int64
                 mask labels
                 insert environment (value not shown)
                 insert receivedAt: when it was received
  on error       set the record aside, to the sink's dead_letter.topic

sink topic (kafka), from slim
  brokers        127.0.0.1:9092
  topics         telemetry-{timestamp} (created if missing: 6 partitions, replication 1)
                 at most 100 in use
  delivery       exactly_once: records and progress in one transaction
  key            JSON { device: device_id, site: site }
  partition      by key (murmur2)
  timestamp      emitted_ns in nanoseconds
  static headers schema (values not shown)
  header         site: site
  dead letters   telemetry.dead (created if missing: 1 partition, replication 1)
  progress       topic __transforms.progress

streams
  telemetry → topic: exactly_once, every message once, in order within a partition, for read_committed readers
