"""Where shards are computed, one backend a file, see `apiece.predict.shards.Backend`."""
