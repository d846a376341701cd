"""Compiled kernels: lanes of pixels, percentiles, resampling, coverage, overviews."""
