$ headwater graph examples/pipelines/fan-out.yaml --format dot
exit 0
--- stdout
digraph "fan-out" {
  rankdir=LR;
  n0 [shape=ellipse, label="telemetry\ngrpc source\n1 shard"];
  n1 [shape=box, label="json\nprotobuf decoder"];
  n2 [shape=box, label="bytes\nprotobuf decoder"];
  n3 [shape=cylinder, label="readable\nkafka sink\ntopic telemetry.json"];
  n4 [shape=cylinder, label="compact\nkafka sink\ntopic telemetry.protobuf"];
  n5 [shape=cylinder, label="terminal\nstdout sink"];
  n0 -> n1 [label="bench.v1.Event"];
  n0 -> n2 [label="bench.v1.Event"];
  n1 -> n3 [label="JSON"];
  n1 -> n5 [label="JSON"];
  n2 -> n4 [label="raw bytes"];
}
