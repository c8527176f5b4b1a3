$ headwater explain examples/pipelines/minimal.yaml
exit 0
--- stdout
pipeline minimal
  workers        one per core
  commit         every 50 ms, or after 4 MiB
  memory         12 MiB received and not yet committed

source telemetry (grpc)
  shards         1 shard
  shard          telemetry/127.0.0.1:50051 at http://127.0.0.1:50051
  method         bench.v1.Telemetry/Subscribe
  message        bench.v1.Event
  resume         none: a new call gets what the server sends then
  on end         the shard is complete

decoder json (protobuf), from telemetry
  message        bench.v1.Event
  to             JSON
  on error       stop the pipeline and name the message

sink terminal (stdout), from json
  to             standard output, one line a record

streams
  telemetry → terminal: none, nothing outlives the process
    weakened by telemetry.resume: not declared: what the server sends while no call is open, and what was received but not committed at a crash, is lost; each such place is reported; what the server itself sends again at a new call is passed on
    weakened by terminal.kind: this sink keeps nothing
