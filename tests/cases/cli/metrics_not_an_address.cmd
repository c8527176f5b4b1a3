$ headwater run --metrics 9464 x.yaml
exit 64
--- stderr
error: invalid value '9464' for '--metrics <HOST:PORT>': expected `IP:PORT` or `off`

For more information, try '--help'.
