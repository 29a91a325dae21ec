"""Objectives in plans: what goes with what, and what is said when it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.dataset import DataFacts, read_examples
from core.formats import FORMATS
from core.misfits.objective import of_objective
from core.objectives import CPO, DPO, KTO, OBJECTIVES, ORPO, Objective, SimPO
from core.plan import make_plan
from core.recipe import Recipe
from tests.core.test_plan import DATA, MODEL, facts, recipe

KINDS = {kind.model_fields["kind"].default: kind for kind in OBJECTIVES}
TEXTS = DATA.model_copy(update={"format": "text"})
BASE = MODEL.model_copy(update={"template": None})


def data_for(kind: type[Objective]) -> DataFacts:
    return DATA.model_copy(update={"format": kind.formats[0]})


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_objective_can_be_planned(kind: type[Objective]) -> None:
    """With rows it can learn from nothing stands in the way, and memory and time are known."""
    rows = max(2, kind().answers)
    chosen = recipe(objective=kind(), training__micro_batch=rows)
    plan = make_plan(chosen, facts(data=data_for(kind)))
    assert {problem.where for problem in plan.blockers} <= {"objective.teacher"}  # none is chosen
    assert plan.needed > 0
    assert plan.settings is not None
    assert set(kind.formats) <= {each.name for each in FORMATS}
    assert kind.stable == ("experimental" not in kind.summary)


def test_a_base_model_reads_texts_and_cannot_chat() -> None:
    reading = make_plan(recipe(objective={"kind": "pretrain"}), facts(data=TEXTS, model=BASE))
    assert reading.ready
    asking = make_plan(recipe(), facts(model=BASE))
    assert "no chat template" in " ".join(problem.text for problem in asking.blockers)


@pytest.mark.parametrize(
    ("format", "kind"), [("text", "pretrain"), ("kto", "kto"), ("preference", "dpo")]
)
def test_rows_of_another_kind_lead_to_their_objective(format: str, kind: str) -> None:
    data = DATA.model_copy(update={"format": format})
    (problem,) = make_plan(recipe(), facts(data=data)).blockers
    assert problem.fix is not None
    assert recipe().edit(problem.fix.path, problem.fix.value).objective.kind == kind


MISFITS: dict[str, Recipe] = {
    "objective.label_smoothing": recipe(objective=DPO(loss_type="exo_pair")),
    "objective.label_smoothing unheeded": recipe(objective=DPO(label_smoothing=0.1)),
    "objective.loss_type sorted": recipe(objective=DPO(loss_type="aot"), training__micro_batch=1),
    "objective.loss_type drift": recipe(objective=KTO(), training__micro_batch=1),
    "objective.gamma": recipe(objective=SimPO(beta=1, gamma=3)),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_go_together_is_told_with_a_way_out(name: str) -> None:
    chosen = MISFITS[name]
    known = facts(data=data_for(type(chosen.objective)))
    (problem,) = of_objective(chosen, known, make_plan(chosen, known))
    assert problem.where == name.split()[0]
    assert problem.fix is not None
    fixed = chosen.edit(problem.fix.path, problem.fix.value)
    assert list(of_objective(fixed, known, make_plan(fixed, known))) == []


@pytest.mark.parametrize(
    "chosen",
    [
        DPO(loss_type="robust", label_smoothing=0.1),
        DPO(loss_type="exo_pair", label_smoothing=0.1),
        KTO(loss_type="apo_zero_unpaired"),
        SimPO(),
        CPO(),
        ORPO(),
    ],
)
def test_what_goes_together_is_left_alone(chosen: Objective) -> None:
    rows = 2 if isinstance(chosen, DPO) else 1
    plan = recipe(objective=chosen, training__micro_batch=rows)
    known = facts(data=data_for(type(chosen)))
    assert list(of_objective(plan, known, make_plan(plan, known))) == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("dpo", {"beta": 0}),
        ("dpo", {"label_smoothing": 0.5}),
        ("dpo", {"loss_type": "simpo"}),
        ("kto", {"beta": 3}),
        ("kto", {"good_weight": 0}),
        ("orpo", {"beta": -1}),
        ("simpo", {"gamma": -0.1}),
        ("reward", {"centre": 2}),
    ],
)
def test_what_means_nothing_is_refused_at_the_field(kind: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        KINDS[kind](**wrong)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_preferences_are_best_seen_once(kind: type[Objective]) -> None:
    plan = make_plan(recipe(objective=kind(), training__epochs=3), facts(data=data_for(kind)))
    told = [problem for problem in plan.problems if problem.where == "training.epochs"]
    assert bool(told) == kind.once


def test_a_thumb_comes_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "thumbs.csv"
    path.write_text("prompt,completion,label\nHi,Hello.,true\nHi,No.,False\n", encoding="utf-8")
    rows, _ = read_examples(path)
    assert [row.good for row in rows] == [True, False]
