$ headwater validate examples/pipelines/minimal.yaml examples/pipelines/fan-out.yaml
exit 0
--- stdout
examples/pipelines/minimal.yaml: pipeline `minimal` is sound: 1 source, 1 decoder, 1 sink
  telemetry → terminal: none
examples/pipelines/fan-out.yaml: pipeline `fan-out` is sound: 1 source, 2 decoders, 3 sinks
  telemetry → readable: exactly_once
  telemetry → compact: exactly_once
  telemetry → terminal: none
