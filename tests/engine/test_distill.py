"""Distillation: the model comes nearer to its teacher, which stays what it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core import durable
from core.engine.distil import StudentTrainer, Taught, divergence
from core.engine.encode import IGNORED
from core.engine.measure import measure
from core.errors import ModelError
from core.events import Event, Step
from core.history import History
from core.memory.loss import PART
from core.objectives import Distill
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses, plan_of, weights
from tests.engine.test_objectives_learn import names, ready

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter with its layers shaken: it knows the same tokens and thinks otherwise."""
    folder = Path(shutil.copytree(starter(), tmp_path_factory.mktemp("stranger") / "model"))
    torch.manual_seed(0)
    shaken = {
        name: weight + 0.25 * weight.float().std() * torch.randn(weight.shape).to(weight.dtype)
        if ".layers." in name and weight.dim() == 2
        else weight
        for name, weight in load_file(folder / WEIGHTS).items()
    }
    save_file(shaken, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def expert(tmp_path_factory: pytest.TempPathFactory, tickets: Path) -> Path:
    """The starter trained on the tickets, in full."""
    run = create(tmp_path_factory.mktemp("expert") / "run", _base(tickets, 40, {"kind": "full"}))
    go(run)
    return run.model


def _base(tickets: Path, steps: int, adaptation: dict[str, Any]) -> Recipe:
    return Recipe.model_validate(
        {
            "model": "starter",
            "data": {"path": str(tickets), "heldout_share": 0.2},
            "adaptation": adaptation,
            "training": {
                "max_steps": steps, "micro_batch": 4, "accumulation": 1, "learning_rate": 1e-3,
                "warmup": 0, "max_length": 256, "device": "cpu",
            },
            "checks": {"every": steps, "save_every": 2, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip


def taught(
    tickets: Path, teacher: Path, steps: int = 4, adaptation: str = "lora", **goal: Any
) -> Recipe:
    """Steps of four rows on the starter model."""
    chosen = {"kind": "distill", "teacher": str(teacher), **goal}
    return _base(tickets, steps, {"kind": adaptation}).edit("objective", chosen)


def reloaded(run: RunDir) -> Any:
    """The artefact as anybody opens it."""
    if run.model.exists():
        return AutoModelForCausalLM.from_pretrained(run.model)  # in 16 bits, as it was scored
    base = AutoModelForCausalLM.from_pretrained(starter(), dtype=torch.float32)
    return PeftModel.from_pretrained(base, run.adapter)


def told(story: History) -> tuple[float, float, float, float]:
    """Loss and agreement before and after."""
    assert story.before is not None
    assert story.after is not None
    assert story.before.loss is not None
    assert story.after.loss is not None
    agreed = (story.before.metrics["agreement"], story.after.metrics["agreement"])
    return story.before.loss, story.after.loss, *agreed


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_loss_is_the_papers(monkeypatch: pytest.MonkeyPatch, beta: float) -> None:
    """Equation 1 of arXiv 2306.13649 in plain numbers, and its gradient, in parts and at once."""
    torch.manual_seed(0)
    mine, theirs = torch.randn(7, 11, requires_grad=True), torch.randn(7, 11)
    goal = Distill(beta=beta, temperature=2.0)
    p, q = torch.softmax(theirs / 2, -1), torch.softmax(mine / 2, -1)
    if beta in (0.0, 1.0):
        first, second = (p, q) if beta == 0 else (q, p)
        wanted = (first * (first / second).log()).sum()
    else:
        middle = beta * p + (1 - beta) * q
        wanted = beta * (p * (p / middle).log()).sum()
        wanted = wanted + (1 - beta) * (q * (q / middle).log()).sum()
    (slope,) = torch.autograd.grad(wanted, mine)
    for part in (PART, 33):
        monkeypatch.setattr("core.engine.distil.PART", part)
        found = divergence(mine, theirs, goal)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
        torch.testing.assert_close(torch.autograd.grad(found, mine)[0], slope)


def test_it_comes_nearer_to_its_teacher(tmp_path: Path, tickets: Path, stranger: Path) -> None:
    """The held-out loss falls, only the adapter is saved, and the teacher's weights stay."""
    before = durable.digest(stranger / WEIGHTS)
    recipe = taught(tickets, stranger, 2).edit("training.micro_batch", 2)
    run = create(tmp_path / "run", recipe)
    first, last, *_ = told(go(run))
    assert last < first
    assert all("lora_" in name for name in names(run))
    assert durable.digest(stranger / WEIGHTS) == before


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", ["lora", "full", "prompt"])
def test_it_learns_what_its_teacher_knows(
    tmp_path: Path, tickets: Path, expert: Path, adaptation: str
) -> None:
    before = durable.digest(expert / WEIGHTS)
    recipe = taught(tickets, expert, 24, adaptation)
    if adaptation == "prompt":
        recipe = recipe.edit("training.learning_rate", 0.05)
    run = create(tmp_path / "run", recipe)
    story = go(run)
    first, last, agreed, agrees = told(story)
    assert last < first
    if adaptation != "prompt":
        assert agrees > agreed
    assert story.warnings == []
    assert durable.digest(expert / WEIGHTS) == before
    if adaptation == "lora":
        assert all("lora_" in name for name in names(run))
    if adaptation == "full":
        assert names(run) == set(load_file(starter() / WEIGHTS))
    _, lesson = ready(tmp_path / "again", recipe)
    found = lesson.measure(reloaded(run))
    assert found.loss == pytest.approx(last, rel=1e-5)
    assert found.metrics["agreement"] == agrees


@pytest.mark.slow
@pytest.mark.parametrize("goal", [{}, {"beta": 1.0}, {"beta": 0.5, "temperature": 2.0}])
def test_the_measured_loss_is_the_trained_one(
    tmp_path: Path, tickets: Path, stranger: Path, goal: dict[str, Any]
) -> None:
    trainer, lesson = ready(tmp_path / "run", taught(tickets, stranger, **goal))
    assert isinstance(lesson, Taught)
    rows = [row.cut(lesson.length) for row in lesson.corpus.heldout]
    batch = trainer.data_collator([{"input_ids": ids, "labels": known} for ids, known in rows])
    with torch.no_grad():
        theirs = trainer.compute_loss(trainer.model.eval(), batch)
    assert lesson.measure(trainer.model).loss == pytest.approx(theirs.item(), rel=1e-5)
    assert not any(weight.requires_grad for weight in lesson.teacher.parameters())


@pytest.mark.slow
def test_a_model_is_at_one_with_its_double(tmp_path: Path, tickets: Path) -> None:
    """No distance at all to a teacher of the very same weights."""
    double = Path(shutil.copytree(starter(), tmp_path / "double"))
    first, _, agreed, _ = told(go(create(tmp_path / "run", taught(tickets, double, 1))))
    assert first == pytest.approx(0, abs=1e-6)
    assert agreed == 1


@pytest.mark.slow
@pytest.mark.parametrize("own", [0.0, 0.5])
def test_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, tickets: Path, stranger: Path, own: float
) -> None:
    recipe = taught(tickets, stranger, own_answers=own, longest_answer=6)
    recipe = recipe.edit("adaptation", {"kind": "lora", "dropout": 0.1})
    recipe = recipe.edit("training.accumulation", 2)
    whole, broken = create(tmp_path / "whole", recipe), create(tmp_path / "broken", recipe)
    straight = go(whole)

    def stop_at_two(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            run.ask("stop")

    assert go(broken, stop_at_two).state == "stopped"
    resumed = go(broken)
    assert losses(resumed) == losses(straight)
    assert weights(broken) == weights(whole)


@pytest.mark.slow
def test_own_answers_take_the_place_of_given_ones(
    tmp_path: Path, tickets: Path, stranger: Path
) -> None:
    """The question stays, what follows is the model's own and all of it is trained and counted."""
    recipe = taught(tickets, stranger, own_answers=1.0, longest_answer=6)
    trainer, lesson = ready(tmp_path / "run", recipe)
    assert isinstance(trainer, StudentTrainer)
    cut = [row.cut(lesson.length) for row in lesson.corpus.train[:4]]
    given = trainer.data_collator([{"input_ids": ids, "labels": known} for ids, known in cut])
    (made,), tokens = trainer.get_batch_samples(iter([given]), 1, torch.device("cpu"))
    (again,), _ = trainer.get_batch_samples(iter([given]), 1, torch.device("cpu"))
    assert torch.equal(made["input_ids"], again["input_ids"])
    assert not torch.equal(made["input_ids"], given["input_ids"])
    for row, (ids, known) in enumerate(cut):
        start = next(place for place, token in enumerate(known) if token != IGNORED)
        assert made["input_ids"][row, :start].tolist() == ids[:start]
        trained = made["labels"][row] != IGNORED
        assert not trained[:start].any()
        assert 1 <= int(trained.sum()) <= 6
        assert torch.equal(made["labels"][row][trained], made["input_ids"][row][trained])
    assert int(tokens) == int((made["labels"] != IGNORED).sum())


@pytest.mark.slow
def test_a_teacher_of_other_tokens_never_gets_to_teach(
    tmp_path: Path, tickets: Path, stranger: Path
) -> None:
    """Also when its folder has changed since the run was planned."""
    teacher = Path(shutil.copytree(stranger, tmp_path / "teacher"))
    run = create(tmp_path / "run", taught(tickets, teacher))
    path = teacher / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"the"', '"eht"'), encoding="utf-8")
    with pytest.raises(ModelError, match="other tokens"):
        go(run)


@pytest.mark.slow
def test_memory_is_measured_before_a_run(tmp_path: Path, tickets: Path, stranger: Path) -> None:
    recipe = taught(tickets, stranger, own_answers=0.5, longest_answer=6)
    settings = plan_of(recipe).settings
    assert settings is not None
    found = measure(recipe, settings, tmp_path)
    assert (found.fits, found.failure) == (True, "")


@pytest.mark.slow
def test_trial_steps_answer_as_long_as_any_may(
    tmp_path: Path, tickets: Path, stranger: Path
) -> None:
    recipe = taught(tickets, stranger, own_answers=0.1, longest_answer=40)
    trainer, lesson = ready(tmp_path / "run", recipe)
    trainer.make_large()
    ids, known = lesson.corpus.train[0].cut(lesson.length)
    given = trainer.data_collator([{"input_ids": ids, "labels": known}])
    (made,), tokens = trainer.get_batch_samples(iter([given]), 1, torch.device("cpu"))
    assert int(tokens) == 40
    start = next(place for place, token in enumerate(known) if token != IGNORED)
    assert made["input_ids"].shape == (1, start + 40)
