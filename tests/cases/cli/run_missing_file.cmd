# A file that is not there is told like any other mistake.
$ headwater run nowhere.yaml
exit 64
--- stderr
nowhere.yaml: error: No such file or directory (os error 2)
