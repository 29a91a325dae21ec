"""Every way to reward an answer, in the order the window shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from core.rewards.base import Pure, Reward
from core.rewards.judged import Model, Python
from core.rewards.schema import JsonSchema
from core.rewards.texts import Contains, Exact, Length, Regex

REWARDS: tuple[type[Reward], ...] = (Exact, Contains, Regex, JsonSchema, Length, Model, Python)

AnyReward = Annotated[
    Exact | Contains | Regex | JsonSchema | Length | Model | Python, Field(discriminator="kind")
]


def names_of(rewards: Sequence[Reward]) -> tuple[str, ...]:
    """A name for each: its kind, with a number where one kind stands more than once."""
    kinds = [str(reward.kind) for reward in rewards]
    return tuple(
        kind if kinds.count(kind) == 1 else f"{kind}-{1 + kinds[:place].count(kind)}"
        for place, kind in enumerate(kinds)
    )


__all__ = [
    "REWARDS",
    "AnyReward",
    "Contains",
    "Exact",
    "JsonSchema",
    "Length",
    "Model",
    "Pure",
    "Python",
    "Regex",
    "Reward",
    "names_of",
]
