"""Accuracy of maps: `imperv evaluate`, `validate` and `compare`."""
