$ headwater graph examples/pipelines/fan-out.yaml
exit 0
--- stdout
---
title: fan-out
---
flowchart LR
  n0(["telemetry<br>grpc source<br>1 shard"])
  n1["json<br>protobuf decoder"]
  n2["bytes<br>protobuf decoder"]
  n3[("readable<br>kafka sink<br>topic telemetry.json")]
  n4[("compact<br>kafka sink<br>topic telemetry.protobuf")]
  n5[("terminal<br>stdout sink")]
  n0 -->|bench.v1.Event| n1
  n0 -->|bench.v1.Event| n2
  n1 -->|JSON| n3
  n1 -->|JSON| n5
  n2 -->|raw bytes| n4
