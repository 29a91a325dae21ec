"""What a plan says about a teacher: who cannot teach, and what it takes to have one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core import models
from core.errors import ModelError, Problem, RecipeError
from core.memory import Setup, estimate
from core.misfits.teacher import of_teacher
from core.places import starter
from core.plan import Facts, make_plan
from core.recipe import Recipe, parse
from core.settle import setup_of
from core.teachers import tokens_of
from tests.core.test_plan import DATA, TOWER

STARTER = models.look(starter())
KNOWN = Facts(machine=TOWER, model=STARTER, data=DATA)


def recipe(teacher: Path | str, **changes: object) -> Recipe:
    objective = {"kind": "distill", "teacher": str(teacher), **changes}
    data = {"path": "data.jsonl", "heldout_share": 0.1}
    return parse({"model": "starter", "data": data, "objective": objective})


def problems(chosen: Recipe, known: Facts = KNOWN) -> list[Problem]:
    return list(of_teacher(chosen, known, make_plan(chosen, known)))


@pytest.fixture
def twin(tmp_path: Path) -> Path:
    """Another model with the same tokens."""
    return Path(shutil.copytree(starter(), tmp_path / "twin"))


def change_tokens(folder: Path) -> None:
    path = folder / "tokenizer.json"
    found = json.loads(path.read_bytes())
    vocab = found["model"]["vocab"]
    *_, first, second = vocab
    vocab[first], vocab[second] = vocab[second], vocab[first]
    path.write_text(json.dumps(found), encoding="utf-8")


def test_another_model_with_the_same_tokens_may_teach(twin: Path) -> None:
    chosen = recipe(twin)
    assert problems(chosen) == []
    assert make_plan(chosen, KNOWN).blockers == ()


def test_the_same_tokens_written_otherwise_are_the_same(twin: Path) -> None:
    path = twin / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=4), encoding="utf-8")
    assert path.read_bytes() != (starter() / "tokenizer.json").read_bytes()
    assert tokens_of(twin) == tokens_of(starter())


def test_other_tokens_cannot_be_compared(twin: Path) -> None:
    change_tokens(twin)
    (problem,) = problems(recipe(twin))
    assert (problem.level, problem.where) == ("blocker", "objective.teacher")
    assert "other tokens" in problem.text


def test_a_model_of_another_vocabulary_cannot_teach(twin: Path) -> None:
    larger = STARTER.model_copy(update={"vocab": STARTER.vocab + 64})
    (problem,) = problems(recipe(twin), KNOWN.model_copy(update={"model": larger}))
    assert f"{STARTER.vocab:,} tokens" in problem.text


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ("", "No teacher is chosen"),
        ("starter", "its own teacher"),
        (str(starter()), "its own teacher"),
        ("some/where-else", "not on this computer"),
        ("./nowhere", "no folder"),
    ],
)
def test_who_cannot_teach_is_told_with_a_way_out(teacher: str, words: str) -> None:
    chosen = recipe(teacher)
    (problem,) = problems(chosen)
    assert problem.level == "blocker"
    assert words in problem.text
    assert problem.fix is not None
    assert problems(chosen.edit(problem.fix.path, problem.fix.value)) == []


def test_a_teacher_takes_memory_of_its_own(twin: Path) -> None:
    """Its parameters in the precision of a frozen model, told as another model."""
    known = KNOWN.model_copy(update={"machine": TOWER})
    setup = setup_of(recipe(twin), known)
    assert setup.teacher == STARTER.parameters
    bill = estimate(STARTER, recipe(twin).adaptation, setup)
    (other,) = [item for item in bill.items if item.name == "Other models"]
    width = 2 if setup.dtype == "bf16" else 4
    assert (other.bytes, other.note) == (width * STARTER.parameters, "teacher")
    alone = estimate(STARTER, recipe(twin).adaptation, setup.model_copy(update={"teacher": 0}))
    assert bill.allocated - alone.allocated == other.bytes
    assert "this objective was compared with neither" in bill.note


def test_two_opinions_take_more_than_one() -> None:
    adaptation = recipe("").adaptation
    step = Setup(rows=4, length=1024, loss="logits")
    alone = estimate(STARTER, adaptation, step)
    both = estimate(STARTER, adaptation, step.model_copy(update={"objective": "distill"}))
    assert both.allocated > alone.allocated


def test_own_answers_take_time_nobody_guesses(twin: Path) -> None:
    assert make_plan(recipe(twin), KNOWN).seconds is not None
    assert make_plan(recipe(twin, own_answers=0.5), KNOWN).seconds is None


@pytest.mark.parametrize("wrong", [{"beta": 1.1}, {"temperature": 0}, {"own_answers": -0.1}])
def test_what_means_nothing_is_refused_at_the_field(wrong: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        recipe("", **wrong)


def test_a_damaged_tokenizer_is_told(twin: Path) -> None:
    (twin / "tokenizer.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelError):
        tokens_of(twin)
