"""Accuracy of maps of imperviousness: `imperv evaluate`, `validate` and `compare`."""
