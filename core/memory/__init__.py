"""Bytes that training needs, item by item."""

from core.memory.estimate import Item, Load, estimate

__all__ = ["Item", "Load", "estimate"]
