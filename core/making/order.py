"""What is ordered, what a writer is asked and says, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import Field

from core.value import Value


class Prices(Value):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What these tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000


class Order(Value):
    """How many rows are wanted, of what, and what may be spent on them."""

    seeds: Path
    output: Path
    rows: int = Field(100, ge=1)
    format: str = "auto"
    columns: dict[str, str] = Field({})
    shown: int = Field(3, ge=1, le=20)
    """Seeds that a request shows as examples."""
    per_request: int = Field(3, ge=1, le=50)
    """Rows that one request asks for."""
    longest: int = Field(1024, ge=16)
    """Tokens of a reply at most."""
    temperature: float = Field(0.8, ge=0, le=2)
    seed: int = 42
    prices: Prices | None = None
    max_usd: float | None = Field(None, gt=0)
    max_rows: int | None = Field(None, ge=1)
    """Rows that are asked for at most, rejected ones included."""

    @property
    def most(self) -> int:
        """Rows that are asked for at most: a writer that cannot do it must come to an end."""
        return self.max_rows or max(20, 4 * self.rows)


class Prompt(Value):
    """One request: messages for a chat model, and what chance depends on there."""

    messages: tuple[dict[str, str], ...]
    seed: int
    passage: str = ""
    """The text that the answers must rest on; empty when examples are shown instead."""


class Reply(Value):
    """What a writer said to a prompt; tokens are None where it does not count them."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class Progress(Value):
    """How far the work is."""

    wanted: int
    kept: int
    asked: int
    """Rows asked for."""
    rejected: int
    usd: float | None = None

    def __str__(self) -> str:
        cost = "" if self.usd is None else f", {self.usd:,.4f} USD"
        return (
            f"{self.kept:,} of {self.wanted:,} rows kept, {self.asked:,} asked for, "
            f"{self.rejected:,} rejected{cost}"
        )


class Made(Value):
    """What came of an order."""

    output: str
    provenance: str
    outcome: str
    """`finished`, or `limit` when a limit ended the work before all rows were there."""
    rows: int
    asked: int
    requests: int
    rejected: dict[str, int]
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    warnings: tuple[str, ...] = ()


Take = Callable[[Reply], None]
Heed = Callable[[Progress], None]
"""Told after each reply how far the work is; what it raises ends it, and it can go on later."""


class Writer(Protocol):
    """A model that writes rows."""

    kind: str
    """`local` or `endpoint`."""
    name: str
    """Which model, for the record; never with a key in it."""
    at_once: int
    """Prompts it is given together."""

    def write(self, prompts: Sequence[Prompt], take: Take) -> None:
        """Hand over a reply to each prompt, in order; what `take` raises ends the work at once."""
        ...
