# Nothing is kept for a pipeline without a Kafka sink.
$ headwater offsets show examples/pipelines/minimal.yaml
exit 64
--- stderr
error: pipeline minimal has no Kafka sink, so nothing of it is kept
