$ headwater --version
exit 0
--- stdout
headwater 0.1.0
