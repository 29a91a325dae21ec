"""Bytes that training needs, item by item."""

from core.memory.bill import Bill, Item
from core.memory.closed import estimate
from core.memory.setup import Setup

__all__ = ["Bill", "Item", "Setup", "estimate"]
