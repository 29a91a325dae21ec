"""Automatic portions: chosen from the rows, each with its reason, and left alone where given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Problem
from core.plan import Plan, make_plan
from core.recipe import Recipe, parse
from core.sizing import COVERED, batch_for, epochs_for, heldout_for, length_for
from tests.core.test_plan import CARD, COUNTED, DATA, MODEL, TOWER, facts

AUTOMATIC = parse({"model": "model", "data": {"path": "data.jsonl"}})
OLD_GPU = TOWER.model_copy(
    update={"gpus": (CARD.model_copy(update={"capability": (7, 5)}),)}
)  # fmt: skip


def planned(recipe: Recipe, **counts: object) -> Plan:
    return make_plan(recipe, facts(tokens=COUNTED.model_copy(update=counts)))


def reasons(plan: Plan) -> dict[str, tuple[str, str]]:
    return {decision.name: (decision.value, decision.because) for decision in plan.decisions}


@pytest.mark.parametrize(
    ("rows", "epochs"), [(50, 5), (800, 3), (5_000, 2), (50_000, 2), (200_000, 1)]
)
def test_fewer_rows_are_seen_more_often(rows: int, epochs: int) -> None:
    assert epochs_for(rows)[0] == epochs


@pytest.mark.parametrize(("rows", "size"), [(500, 8), (5_000, 16), (50_000, 32), (10**6, 64)])
def test_more_rows_take_larger_batches(rows: int, size: int) -> None:
    assert batch_for(rows)[0] == size


@pytest.mark.parametrize(
    ("rows", "kept"),
    [(0, 0), (40, 4), (500, 50), (1_000, 100), (2_000, 100), (5_000, 250), (10_000, 500),
     (10**6, 500)],
)  # fmt: skip
def test_enough_rows_are_held_out_and_never_too_many(rows: int, kept: int) -> None:
    assert heldout_for(rows)[0] == kept


@given(st.lists(st.integers(1, 5000), min_size=1), st.sampled_from([0, 512, 4096]))
def test_a_length_covers_nearly_all_rows_within_the_context(sizes: list[int], context: int) -> None:
    length = length_for(sizes, context)
    assert length % 64 == 0
    covered = sum(size <= length for size in sizes) / len(sizes)
    assert covered >= COVERED or length == context
    shorter = sum(size <= length - 64 for size in sizes) / len(sizes)
    assert shorter < COVERED


def test_every_automatic_portion_says_why() -> None:
    found = reasons(planned(AUTOMATIC, cut=20, max_length=448, longest=2000))
    assert found["Maximum length"] == (
        "448 tokens",
        "covers 97 % of rows; the longest has 2,000 tokens",
    )
    assert found["Epochs"][0] == "3"
    assert found["Effective batch"][0] == "8 rows (8 x 1)"
    assert found["Held-out rows"][0] == "100"
    assert found["Steps"] == ("339", "900 rows x 3 epochs, 8 at a time")
    assert "Packing" in found


def test_what_the_recipe_gives_is_not_chosen() -> None:
    given = AUTOMATIC.edit("training.epochs", 7).edit("training.accumulation", 3)
    given = given.edit("training.max_length", 300).edit("data.heldout_share", 0.5)
    plan = planned(given)
    settings = plan.settings
    assert settings is not None
    assert (settings.epochs, settings.accumulation, settings.max_length) == (7, 3, 300)
    assert make_plan(given, facts(tokens=None)).heldout == 500
    assert not {"Epochs", "Effective batch", "Maximum length", "Held-out rows"} & set(reasons(plan))


def test_auto_says_the_same_as_nothing() -> None:
    names = ("epochs", "learning_rate", "accumulation", "max_length")
    written = {"training": dict.fromkeys(names, "auto"), "data": {"heldout_share": "auto"}}
    assert parse(written) == Recipe()


def test_until_tokens_are_counted_the_length_is_called_a_guess() -> None:
    data = DATA.model_copy(update={"long_chars": 3600})
    plan = make_plan(AUTOMATIC, facts(data=data, tokens=None))
    assert plan.settings is not None
    assert plan.settings.max_length == 1024
    assert "guessed" in reasons(plan)["Maximum length"][1]
    short = MODEL.model_copy(update={"context": 512})
    limited = make_plan(AUTOMATIC, facts(data=data, tokens=None, model=short)).settings
    assert limited is not None
    assert limited.max_length == 512


def warned(plan: Plan, where: str) -> Iterator[Problem]:
    return (problem for problem in plan.problems if problem.where == where)


@pytest.mark.parametrize("packing", ["auto", "off", "on"])
def test_no_run_sees_less_than_an_epoch_in_silence(packing: str) -> None:
    chosen = AUTOMATIC.edit("objective.packing", packing)
    [cut] = warned(planned(chosen.edit("training.max_steps", 2)), "training.max_steps")
    assert "see only" in cut.text
    [short] = warned(planned(chosen.edit("training.epochs", 0.5)), "training.epochs")
    assert short.fix is not None
    assert not list(warned(planned(chosen), "training.epochs"))


def test_rows_longer_than_the_model_reads_are_told_without_a_fix() -> None:
    plan = planned(AUTOMATIC, cut=400, max_length=4096, p99=9000, longest=9999)
    [problem] = warned(plan, "training.max_length")
    assert problem.fix is None
    assert "reads no more" in reasons(plan)["Maximum length"][1]


SHORT = {"rows": 90_000, "tokens": 300 * 90_000}


def test_packing_is_on_where_rows_are_short_and_many() -> None:
    many = planned(AUTOMATIC, **SHORT)
    assert many.settings is not None
    assert (many.settings.packing, many.settings.padding_free) == (True, False)
    assert "fills 29 %" in reasons(many)["Packing"][1]
    few = reasons(planned(AUTOMATIC, rows=900, tokens=300 * 900))
    assert few["Packing"][0] == "off", "a step would learn from too many rows"
    assert few["Padding"][0] == "none", "which costs less without packing, too"
    full = reasons(planned(AUTOMATIC, rows=90_000, tokens=900 * 90_000))
    assert full["Packing"][0] == "off", "rows are long already"


def test_a_packed_step_learns_from_as_many_rows() -> None:
    packed, plain = (
        planned(AUTOMATIC.edit("objective.packing", wish), **SHORT).settings
        for wish in ("auto", "off")
    )
    assert packed is not None
    assert plain is not None
    assert packed.packing
    assert packed.steps == pytest.approx(plain.steps, rel=0.2)


def test_packing_is_advised_where_it_was_turned_off() -> None:
    [tip] = warned(
        planned(AUTOMATIC.edit("objective.packing", "off"), **SHORT), "objective.packing"
    )
    assert tip.fix is not None
    assert tip.fix.value == "auto"
    assert not list(warned(planned(AUTOMATIC, **SHORT), "objective.packing"))


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"model": MODEL.model_copy(update={"attends": False})}, "not every layer"),
        ({"machine": OLD_GPU}, "Ampere"),
        ({"tokens": None}, "not counted yet"),
    ],
)
def test_no_rows_are_packed_where_they_would_mix_or_nothing_is_known(
    change: dict[str, object], because: str
) -> None:
    counted = COUNTED.model_copy(update=SHORT)
    plan = make_plan(AUTOMATIC, facts(**({"tokens": counted} | change)))
    assert plan.settings is not None
    assert not plan.settings.packing
    assert because in reasons(plan)["Packing"][1]


def test_pairs_are_never_joined() -> None:
    plan = planned(AUTOMATIC.edit("objective", {"kind": "dpo"}), **SHORT)
    assert plan.settings is not None
    assert not plan.settings.packing
    assert not plan.settings.padding_free
    assert not {"Packing", "Padding"} & set(reasons(plan))


def test_a_single_row_is_not_joined() -> None:
    plan = planned(AUTOMATIC.edit("training.micro_batch", 1))
    assert plan.settings is not None
    assert not plan.settings.padding_free


@pytest.mark.parametrize(("said", "meant"), [(True, "on"), (False, "off"), ("auto", "auto")])
def test_recipes_of_earlier_versions_still_say_what_they_mean(said: object, meant: str) -> None:
    assert parse({"objective": {"kind": "sft", "packing": said}}).objective.joining == meant


def test_counted_rows_win_over_shares() -> None:
    plan = planned(AUTOMATIC, rows=905, heldout=95)
    assert (plan.rows, plan.heldout) == (905, 95)
    assert [source.drawn for source in plan.sources] == [905]
