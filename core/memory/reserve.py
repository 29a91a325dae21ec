"""What the caching allocator holds beyond what tensors take, in bytes."""

from __future__ import annotations

from typing import Any

from core.adapt import Adaptation
from core.memory.layers import Layer
from core.memory.setup import Setup

SEGMENT = 20 << 20


def slack(adaptation: Adaptation, setup: Setup, layer: Layer, peak: Any) -> int:
    """Unused room in segments."""
    return SEGMENT
