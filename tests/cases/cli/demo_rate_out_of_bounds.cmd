$ headwater demo --rate 0
exit 64
--- stderr
error: invalid value '0' for '--rate <N>': 0 is not in 1..=100000

For more information, try '--help'.
