"""What can go wrong, in words a user can act on.

CoreError
├── YamlError        a YAML file cannot be read
├── RecipeError      the recipe is not valid                 (has .problems)
├── ModelError       a model folder or id cannot be used
├── DataError        a dataset cannot be read                (has .problems)
├── HardwareError    this machine cannot do it
├── HubError         the Hub cannot be reached or refuses
├── DiskError        a disk is full, gone, failing or read-only
├── EndpointError    a server with a model cannot be reached or refuses
├── QueueError       the queue cannot be read, or does not allow this
└── RunError         a run directory or its engine is not usable
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from core.redaction import redact
from core.value import Value

Level = Literal["blocker", "warning", "tip"]


class Edit(Value):
    """One change of a recipe: a dotted path and its new value."""

    path: str
    value: Any
    label: str = ""
    """What the button says, for instance "Batch 4 to 2"."""


class Problem(Value):
    """Something worth knowing before a run. `where` is a dotted recipe path; `fix` is one click."""

    level: Level
    where: str
    text: str
    fix: Edit | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


class CoreError(Exception):
    """Base of every error shown to a user. `hint` says what to do next.

    Errors repeat what libraries and servers said, so a secret in them is hidden here.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(redact(message))
        self.hint = redact(hint)


class YamlError(CoreError):
    """A YAML file cannot be read, or is built to do harm."""


class RecipeError(CoreError):
    """The recipe is not valid; `problems` names every fault, not only the first."""

    def __init__(self, problems: Iterable[Problem], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(p) for p in self.problems), hint=hint)


class ModelError(CoreError):
    """A model folder or id cannot be used."""


class DataError(CoreError):
    """A dataset cannot be read; `problems` names the lines, as far as lines are at fault."""

    def __init__(self, message: str, *, hint: str = "", problems: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message, hint=hint)


class HardwareError(CoreError):
    """This machine cannot do what was asked."""


class HubError(CoreError):
    """The Hub cannot be reached, or refuses."""


class DiskError(CoreError):
    """A disk does not take what is written."""


class EndpointError(CoreError):
    """A server with a model cannot be reached, or refuses."""


class QueueError(CoreError):
    """The queue cannot be read, or does not allow what was asked."""


class RunError(CoreError):
    """A run directory or its engine is not usable."""
