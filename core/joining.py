"""Whether rows are joined, so that no padding is computed: packed beforehand, or batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

from core.draft import Decision, Facts, Settings
from core.portions import filled, settle_batch
from core.recipe import Recipe

PACK_BELOW = 0.6
"""Rows that fill less than this share of the length on average are worth packing."""
GROWTH = 1.5
"""Packing that makes a step learn from more than so many times its usual rows leaves too few steps,
and padding can be spared without it."""


def settle_joining(
    recipe: Recipe, facts: Facts, settings: Settings
) -> tuple[Settings, list[Decision]]:
    """Packing and padding, each with its reason; nothing is told where no rows can be joined."""
    wish = recipe.objective.joining
    if wish is None:
        return settings, []
    packing, why = automatic_packing(recipe, facts, settings)
    if wish != "auto":
        packing, why = wish == "on", "the recipe says so"
    told = [Decision(name="Packing", value="on" if packing else "off", because=why)]
    if packing:
        return settings.model_copy(update={"packing": True}), told
    obstacle = next(_obstacles(recipe, facts, settings), "")
    if not obstacle and settings.micro_batch == 1:
        obstacle = "a single row has no padding"
    told.append(_padding(obstacle))
    return settings.model_copy(update={"padding_free": not obstacle}), told


def _padding(obstacle: str) -> Decision:
    if obstacle:
        value = "to the longest row of a batch"
        return Decision(name="Padding", value=value, because=obstacle)
    because = "rows of a batch are joined and kept apart by attention: same result, less to compute"
    return Decision(name="Padding", value="none", because=because)


def _obstacles(recipe: Recipe, facts: Facts, settings: Settings) -> Iterator[str]:
    """Why joined rows would mix, or be slower than padded ones."""
    assert facts.model is not None
    if not recipe.adaptation.packs:
        yield f"{recipe.adaptation.title} puts tokens of its own before every row"
    if not facts.model.attends:
        yield "not every layer of the model is attention that can keep joined rows apart"
    if settings.device == "cuda" and not settings.bf16:
        yield "the attention for joined rows needs a GPU of the Ampere generation or newer"


def automatic_packing(recipe: Recipe, facts: Facts, settings: Settings) -> tuple[bool, str]:
    """Whether full sequences would save much time at about the usual batch, and why."""
    obstacle = next(_obstacles(recipe, facts, settings), "")
    if obstacle:
        return False, obstacle
    if facts.tokens is None or facts.data is None:
        return False, "the tokens of the rows are not counted yet"
    share = filled(recipe, facts, settings)
    text = f"a row fills {100 * share:.0f} % of the maximum length on average"
    if share >= PACK_BELOW:
        return False, text
    if settings.device == "cpu":
        return False, f"{text}, but a processor gains little from longer batches"
    plain, _ = settle_batch(recipe, facts, settings)
    full, _ = settle_batch(recipe, facts, settings.model_copy(update={"packing": True}))
    usual, rows = (each.micro_batch * each.accumulation for each in (plain, full))
    text += f"; packed, a step learns from about {rows / share:,.0f} rows, else from {usual:,}"
    return rows / share <= GROWTH * usual, text
