"""The run of one tile: targets, checks before it, progress, logs."""
