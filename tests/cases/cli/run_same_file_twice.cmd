# Two pipelines of one name would fence each other.
$ headwater run examples/pipelines/minimal.yaml examples/pipelines/minimal.yaml
exit 64
--- stderr
examples/pipelines/minimal.yaml: error: pipeline `minimal` is also defined by examples/pipelines/minimal.yaml
  = hint: give each pipeline a name of its own: its progress is kept under it
1 of 2 pipeline files cannot be run
