"""An objective says towards what a model is trained."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from core.value import Value


class Objective(Value):
    """A frozen choice that knows which kind of rows it learns from."""

    kind: Any = ""
    title: ClassVar[str]
    summary: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]
    """Kinds of dataset format (core.formats) that this objective can learn from."""
    rate_share: ClassVar[tuple[float, str]] = (1.0, "")
    """Share of an adaptation's usual learning rate, and the reason when it is not all of it."""
    most_raised: ClassVar[float] = math.inf
    """How often the usual rate at most for a small model."""

    counted_as: ClassVar[str] = ""
    """The objective of core.memory.goals whose memory a step has; empty: its own kind."""
    stable: ClassVar[bool] = True
    """Whether the library calls its trainer stable; an experimental one is labelled so."""

    @property
    def answers(self) -> int:
        """Answers that are generated for each row and learned from; 1 where a row is learned."""
        return 1

    @property
    def passes(self) -> int:
        """Steps on the same generated answers."""
        return 1

    @property
    def room(self) -> int:
        """Tokens that an answer may add to a row."""
        return 0

    @property
    def packs(self) -> bool:
        """Whether short rows are joined to full sequences."""
        return False
