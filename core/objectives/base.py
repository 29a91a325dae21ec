"""An objective says towards what a model is trained."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator

from core.value import Value

_SWITCH = BeforeValidator(lambda given: ("off", "on")[given] if isinstance(given, bool) else given)
"""Recipes of earlier versions say true or false, and YAML reads a bare `on` as true."""
Joining: TypeAlias = Literal["auto", "on", "off"]
Packing = Annotated[Joining, _SWITCH]
"""Whether short rows are joined to full sequences."""


class Objective(Value):
    """A frozen choice that knows which kind of rows it learns from."""

    kind: Any = ""
    title: ClassVar[str]
    summary: ClassVar[str]
    family: ClassVar[str] = ""
    """Under which heading it is offered; empty: among the usual ones, always in sight."""
    formats: ClassVar[tuple[str, ...]]
    """Kinds of dataset format (core.formats) that this objective can learn from."""
    rate_share: ClassVar[tuple[float, str]] = (1.0, "")
    """Share of an adaptation's usual learning rate, and the reason when it is not all of it."""
    most_raised: ClassVar[float] = math.inf
    """How often the usual rate at most for a small model."""

    most_measured: ClassVar[tuple[int, str]] = (500, "as many tell the loss to three digits")
    """Held-out rows that an evaluation looks at, at most, and why no more."""

    counted_as: ClassVar[str] = ""
    """The objective of core.memory.goals whose memory a step has; empty: its own kind."""
    stable: ClassVar[bool] = True
    """Whether the library calls its trainer stable; an experimental one is labelled so."""

    chats: ClassVar[bool] = True
    """Whether rows are conversations, which need the model's chat template."""
    speaks: ClassVar[bool] = True
    """Whether the trained model writes text; a reward model only gives numbers."""
    looks_back: ClassVar[int] = 0
    """Forward passes for each row beside the one that learns, most by the untrained model."""
    paired: ClassVar[bool] = False
    """Whether a row holds two answers, read together."""
    keeps_logits: ClassVar[bool] = False
    """Whether the library's trainer holds the logits of whole batches."""
    aims_at_words: ClassVar[bool] = False
    """Whether each trained token has one right word, so that the aim may be smoothed."""
    once: ClassVar[bool] = False
    """Whether rows are best seen once."""

    @property
    def joining(self) -> Joining | None:
        """Whether short rows shall be joined to full sequences; None where none can be joined."""
        return None

    @property
    def divisible(self) -> bool:
        """Whether a batch may be learned in parts: no row is compared with others of its batch, and
        rows or tokens of a whole step count alike."""
        return False

    @property
    def answers(self) -> int:
        """Answers that are generated for each row and learned from; 1 where a row is learned."""
        return 1

    @property
    def passes(self) -> int:
        """Steps that learn from the same rows or answers before others come."""
        return 1

    @property
    def room(self) -> int:
        """Tokens of the maximum length that an answer may take."""
        return 0

    @property
    def writes(self) -> int:
        """Tokens that answers of its own may add to a question, where the maximum length does not
        bound them."""
        return 0

    @property
    def compares(self) -> bool:
        """Whether answers of the dataset are compared with those that the model writes itself."""
        return False

    @property
    def generates(self) -> bool:
        """Whether steps write answers, which takes time that no formula here knows."""
        return self.room + self.writes > 0
