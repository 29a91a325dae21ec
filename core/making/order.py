"""What is ordered, what a writer is asked and says, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import Field

from core.value import Value


class Order(Value):
    """How many rows are wanted, of what, and what may be spent on them."""

    seeds: Path
    output: Path
    format: str = "auto"
    columns: dict[str, str] = Field({})
    rows: int = Field(100, ge=1, title="Rows", description="Rows that are wanted.")
    examples: int = Field(
        3, ge=1, le=20, title="Examples", description="Seeds that a request shows as examples."
    )
    per_request: int = Field(
        3, ge=1, le=50, title="Rows per request", description="Rows that one request asks for."
    )
    max_tokens: int = Field(
        1024, ge=16, title="Tokens of a reply", description="Where a reply is cut off."
    )
    temperature: float = Field(
        0.8, ge=0, le=2, title="Temperature",
        description="More makes rows differ more; 0 is always the likeliest text.",
    )  # fmt: skip
    seed: int = Field(42, title="Seed", description="Another number is another draw.")
    usd_per_million_input: float | None = Field(
        None, ge=0, title="Price of tokens read",
        description="US dollars for a million tokens of requests. Empty: not known.",
    )  # fmt: skip
    usd_per_million_output: float | None = Field(
        None, ge=0, title="Price of tokens written",
        description="US dollars for a million tokens of replies. Empty: not known.",
    )  # fmt: skip
    max_usd: float | None = Field(
        None, gt=0, title="Spend at most", description="US dollars; needs prices. Empty: no limit."
    )
    max_rows: int | None = Field(
        None, ge=1, title="Ask for at most",
        description="Rows asked for, rejected ones included. Empty: four times the rows.",
    )  # fmt: skip

    @property
    def most(self) -> int:
        """Rows that are asked for at most: a writer that cannot do it must come to an end."""
        return self.max_rows or max(20, 4 * self.rows)

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """What these tokens cost in US dollars; None without prices."""
        asked, said = self.usd_per_million_input, self.usd_per_million_output
        if asked is None or said is None:
            return None
        return (input_tokens * asked + output_tokens * said) / 1_000_000


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
