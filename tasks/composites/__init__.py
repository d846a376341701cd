"""Composites: medians of months and spectral-temporal metrics of any span (docs/composites.md)."""
