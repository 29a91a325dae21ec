"""An objective says towards what a model is trained."""

from __future__ import annotations

from typing import Any, ClassVar

from core.value import Value


class Objective(Value):
    """A frozen choice that knows which kind of rows it learns from."""

    kind: Any
    title: ClassVar[str]
    summary: ClassVar[str]
    formats: ClassVar[tuple[str, ...]]
    """Kinds of dataset format (core.formats) that this objective can learn from."""
