"""What other choices would need: every saving saves what it says, the largest that fits fits."""

from __future__ import annotations

import pytest

from core.catalog import CatalogModel, models
from core.errors import Edit
from core.plan import Facts
from core.recipe import Recipe
from core.settle import make_draft
from core.whatif import (
    BATCH,
    LENGTH,
    advice,
    curve,
    ladder,
    largest,
    largest_model,
    needed,
    savings,
)  # fmt: skip
from tests.core.test_plan import CARD, GB, TOWER, facts, recipe

BIG = recipe(training__micro_batch=8, training__max_length=4096)


def small(total: int) -> Facts:
    """The facts on a card of another size."""
    card = CARD.model_copy(update={"total": total, "free": total})
    return facts(TOWER.model_copy(update={"gpus": (card,)}))


@pytest.mark.parametrize("kind", ["lora", "qlora", "full"])
def test_savings_save_what_they_say(kind: str) -> None:
    chosen = BIG.edit("adaptation", {"kind": kind})
    found = savings(chosen, facts())
    assert found
    assert [way.bytes for way in found] == sorted((way.bytes for way in found), reverse=True)
    for way in found:
        after = chosen.edit(way.edit.path, way.edit.value)
        assert needed(chosen, facts()) - needed(after, facts()) == way.bytes > 0


def test_the_same_result_is_tried_first_and_the_ladder_ends_where_it_fits() -> None:
    full = BIG.edit("adaptation", {"kind": "full"})
    limit = round(0.4 * needed(full, facts()))
    world = small(limit)
    climbed: Recipe = full
    steps = ladder(full, world)
    for way in steps:
        assert needed(climbed, world) > limit, "no rung too many"
        climbed = climbed.edit(way.edit.path, way.edit.value)
    assert needed(climbed, world) <= limit
    kept = [bool(way.changes) for way in steps]
    assert kept == sorted(kept), "what changes the result comes last"


def test_nothing_helps_or_nothing_is_needed() -> None:
    assert ladder(BIG, small(1000 * GB)) == ()
    assert ladder(BIG, small(1000)) == ()


def test_advice_is_the_ladder_or_its_first_rung_where_the_estimate_was_wrong() -> None:
    full = BIG.edit("adaptation", {"kind": "full"})
    world = small(round(0.4 * needed(full, facts())))
    told = advice(full, world)
    assert told == "; then ".join(way.edit.label for way in ladder(full, world)) + "."
    same = [way for way in savings(BIG, small(1000 * GB)) if not way.changes]
    assert advice(BIG, small(1000 * GB)) == f"{same[0].edit.label}."
    least = recipe(training__micro_batch=1, training__max_length=64, training__checkpointing="on")
    assert (
        advice(least.edit("adaptation", {"kind": "qlora"}), facts())
        == "Close other programs, or choose a smaller model."
    )


def test_the_largest_that_fits_fits_and_one_more_does_not() -> None:
    world = small(8 * GB)
    most = largest(BIG, world, BATCH, 1024)
    assert 1 <= most < 1024
    assert needed(BIG, world, Edit(path=BATCH, value=most)) <= 8 * GB
    assert needed(BIG, world, Edit(path=BATCH, value=most + 1)) > 8 * GB
    assert largest(BIG, small(1000), BATCH, 1024) == 0


def test_curves_rise_and_rows_fill_the_length() -> None:
    batches = curve(BIG, facts(), BATCH, (1, 2, 4, 8))
    assert [value for value, _ in batches] == [1, 2, 4, 8]
    assert sorted(batches, key=lambda point: point[1]) == list(batches)
    short, long = (point[1] for point in curve(BIG, facts(), LENGTH, (2048, 4096)))
    assert long > short, "though the rows counted so far are shorter than both"


def test_nothing_fits_a_card_without_room() -> None:
    for path in (BATCH, LENGTH):
        assert largest(BIG, small(GB // 4), path, 1024) == 0


def test_the_largest_model_fits_and_the_next_does_not() -> None:
    known = largest_model(BIG, facts())
    assert known is not None
    limit = make_draft(BIG, facts()).limit

    def size(model: CatalogModel) -> int:
        return needed(BIG, facts().model_copy(update={"model": model.facts()}))

    assert size(known) <= limit
    assert all(size(model) > limit for model in models() if model.counted > known.counted)
    assert largest_model(BIG, small(GB // 4)) is None
