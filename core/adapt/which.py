"""Which adaptation to take: short advice with its reasons, from sizes alone."""

from __future__ import annotations

from collections.abc import Iterator

from core.models import ModelFacts
from core.numbers import show_bytes

FULL, LORA, QLORA = 16.0, 2.0, 0.55
"""Bytes per parameter of what stays in memory: weights, gradients and two states in 32 bits; 16-bit
weights; 4-bit weights with their constants. An adapter adds a per cent or two."""
ROOM = 1.25
"""For activations and the driver, beside what stays."""
MANY_ROWS = 10_000
"""From here full fine-tuning has enough to learn from (LIMA, arXiv 2305.11206, needs far fewer for
tone alone; knowledge needs many)."""
FEW_ROWS = 100
LARGE = 10_000_000_000
"""From here prompt tuning comes close to full fine-tuning (arXiv 2104.08691, figure 1)."""


def advise(model: ModelFacts, memory: int, rows: int) -> list[tuple[str, str]]:
    """Kinds of adaptation and the reason for each, best first; empty when none fits.

    `memory` is what the device has, in bytes; `rows` are those to learn from.
    """
    return list(_advice(model, memory, rows))


def _advice(model: ModelFacts, memory: int, rows: int) -> Iterator[tuple[str, str]]:
    whole, plain, packed = (round(model.parameters * b * ROOM) for b in (FULL, LORA, QLORA))
    if rows >= MANY_ROWS and whole <= memory:
        yield (
            "full",
            f"{rows:,} rows are enough to move every weight, and about {show_bytes(whole)} fit; "
            "it learns most, and forgets most.",
        )
    if plain <= memory:
        yield "lora", f"The model fits in 16 bits (about {show_bytes(plain)}); {_learns(rows)}"
    elif packed <= memory:
        yield (
            "qlora",
            f"In 16 bits the model needs about {show_bytes(plain)}, in 4 bits "
            f"{show_bytes(packed)}; {_learns(rows)}",
        )
    if packed <= memory and rows < FEW_ROWS:
        yield (
            "ia3",
            f"{rows:,} rows are few: where fewer numbers learn, less is learned by heart.",
        )
    if plain <= memory and model.parameters >= LARGE:
        yield "prompt", "On so large a model trained words come close, and are tiny to keep."


def _learns(rows: int) -> str:
    if rows < FEW_ROWS:
        return "a low rank, such as 8, forgets least with so few rows."
    return "nearly as good as full fine-tuning for style, format and skills."
