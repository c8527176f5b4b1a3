# Transforms are nodes like others.
$ headwater graph examples/pipelines/transforms.yaml
exit 0
--- stdout
---
title: transforms
---
flowchart LR
  n0(["telemetry<br>grpc source<br>1 shard"])
  n1["warm<br>filter transform"]
  n2["json<br>protobuf decoder"]
  n3["slim<br>fields transform"]
  n4[("topic<br>kafka sink<br>topics telemetry-{timestamp}")]
  n0 -->|bench.v1.Event| n1
  n1 -->|undecoded messages| n2
  n2 -->|JSON| n3
  n3 -->|JSON| n4
