"""A model on this computer: an engine process writes, and its replies are taken as they come."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from core import models
from core.asking import ask
from core.errors import RunError
from core.making.order import Prompt, Reply, Take
from core.value import Value

PATIENCE = 6 * 3600.0
"""Seconds for all prompts that a process is given at once, loading the model included."""


class Writing(Value):
    """What an engine is to write, and the file that takes each reply as a line at once."""

    model: Path
    prompts: tuple[Prompt, ...]
    replies: Path
    longest: int
    temperature: float


class Written(Value):
    """All replies are in the file."""

    replies: int


class Local:
    """Writes with a model that lies here, without a network."""

    kind, at_once = "local", 64

    def __init__(self, model: str, *, longest: int, temperature: float) -> None:
        facts = models.look(models.resolve(model))
        self._folder, self.name = facts.path, facts.name
        self._longest, self._temperature = longest, temperature

    def write(self, prompts: Sequence[Prompt], take: Take) -> None:
        """Let an engine write. Raises CoreError with its words."""
        late = RunError(
            f"The model did not write {len(prompts)} replies within {PATIENCE:,.0f} seconds.",
            hint="What was made so far is kept; a smaller model or --max-tokens is faster.",
        )
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
            replies = Path(folder) / "replies.jsonl"
            replies.touch()
            asked = Writing(
                model=self._folder, prompts=tuple(prompts), replies=replies,
                longest=self._longest, temperature=self._temperature,
            )  # fmt: skip
            tail = _Tail(replies, take)
            ask("write", asked.model_dump_json(), timeout=PATIENCE, late=late, meanwhile=tail.read)
            tail.read()


class _Tail:
    """Hands over whole lines of a growing file, each once."""

    def __init__(self, path: Path, take: Take) -> None:
        self._path, self._take = path, take
        self._place = 0

    def read(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # the engine is still at it
                self._place += len(line)
                self._take(Reply.model_validate_json(line))
