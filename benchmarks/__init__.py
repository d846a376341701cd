"""Measurements: our kernels and steps beside a peer, interleaved in one run. `make bench` runs them all."""
