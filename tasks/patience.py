"""Patience with servers, the same for scenes, catalogues and the store."""

from __future__ import annotations

BUSY = (408, 429, 500, 502, 503, 504)
"""HTTP answers that another try may change."""

LONGEST_PAUSE = 10.0
"""Seconds between two tries at most."""
