"""A reward says how good an answer is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from pydantic import Field

from core.formats import Message
from core.value import Value


class Reward(Value):
    """A frozen choice; several rewards are summed, each times its weight."""

    kind: Any = ""
    title: ClassVar[str]
    summary: ClassVar[str]

    weight: float = Field(
        1.0,
        ge=-1000,
        le=1000,
        title="Weight",
        description="What it is multiplied by in the sum. A negative weight makes it a penalty.",
    )

    @property
    def compares(self) -> bool:
        """Whether it looks at the expected answer."""
        return False


class Pure(Reward):
    """A reward that needs nothing beside question and answer."""

    @abstractmethod
    def score(self, prompt: list[Message], answer: str, expected: str) -> float:
        """How good an answer is, before the weight. May raise TimeoutError."""
