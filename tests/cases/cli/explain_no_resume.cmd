# A source without a cursor is called what it is.
$ headwater explain examples/pipelines/no-resume.yaml
exit 0
--- stdout
pipeline no-resume
  workers        one per core
  commit         every 50 ms, or after 4 MiB
  memory         12 MiB received and not yet committed

source ticker (grpc)
  shards         1 shard
  shard          ticker/127.0.0.1:50051 at http://127.0.0.1:50051
  method         bench.v1.Telemetry/Subscribe
  message        bench.v1.Event
  resume         none: a new call gets what the server sends then
  on end         call again

decoder json (protobuf), from ticker
  message        bench.v1.Event
  to             JSON
  on error       stop the pipeline and name the message

sink topic (kafka), from json
  brokers        127.0.0.1:9092
  topic          ticker (created if missing: 1 partition, replication 1)
  delivery       exactly_once: records and progress in one transaction
  key            none
  partition      spread: order holds within each partition
  progress       topic __no-resume.progress

streams
  ticker → topic: no_duplicates_with_reported_gaps, no duplicates; what is sent while nobody listens is lost and reported
    weakened by ticker.resume: not declared: what the server sends while no call is open, and what was received but not committed at a crash, is lost; each such place is reported; what the server itself sends again at a new call is passed on
