"""The store of layers and records, and what it stands on."""

from imperv.tasks.store.store import Store

__all__ = ["Store"]
