# All files are read before anything is said; nothing is contacted.
$ headwater run tests/cases/check/method_near.yaml examples/pipelines/minimal.yaml tests/cases/check/bounds.yaml
exit 64
--- stderr
tests/cases/check/method_near.yaml:6:13: error: service "bench.v1.Telemetry" has no method "Subscrib"; did you mean "Subscribe"?
  |
6 |     method: bench.v1.Telemetry/Subscrib
  |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^

1 error; nothing was started.
tests/cases/check/bounds.yaml:8:31: error: key "keepalive.interval_ms" is below its bound
  |
8 |     keepalive: { interval_ms: 5 }
  |                               ^
  = expected: a whole number from 1000 to 86400000 (milliseconds)
  = hint: leave the key out for 30000

tests/cases/check/bounds.yaml:9:35: error: key "http2.stream_window_bytes" is below its bound
  |
9 |     http2: { stream_window_bytes: 100, windows: 3 }
  |                                   ^^^
  = expected: a whole number from 65535 to 2147483647 (bytes)

tests/cases/check/bounds.yaml:9:40: error: key "http2.windows" is not known
  |
9 |     http2: { stream_window_bytes: 100, windows: 3 }
  |                                        ^^^^^^^
  = hint: known keys are "stream_window_bytes", "connection_window_bytes", "adaptive_window"

tests/cases/check/bounds.yaml:10:24: error: key "message_bytes_max" has the wrong type
   |
10 |     message_bytes_max: 64MiB
   |                        ^^^^^
   = expected: a whole number from 1024 to 1073741824 (bytes)
   = found: the text "64MiB"
   = hint: leave the key out for 4194304

4 errors; nothing was started.
2 of 3 pipeline files cannot be run
