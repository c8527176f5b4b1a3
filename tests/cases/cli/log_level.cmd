$ headwater run --log-level headwater=loud --metrics off examples/pipelines/minimal.yaml
exit 64
--- stderr
error: --log-level headwater=loud: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5; expected error, warn, info, debug, trace or target=level
