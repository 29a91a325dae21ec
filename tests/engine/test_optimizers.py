"""Every optimizer learns, is saved whole, and keeps the states that the bill says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core import models
from core.adapt import Full, Lora
from core.adapt.base import Adaptation
from core.engine.optimizers import MuonAndAdamW, embeddings
from core.engine.run import Job, build_trainer, open_job, read_rows
from core.engine.trainer import Watch, Watched
from core.engine.trace import trace
from core.engine.wishes import Wishes
from core.errors import RunError
from core.events import Event, Step
from core.memory import Setup, estimate
from core.models import shape_from_config
from core.recipe import Recipe
from core.rundir import RunDir
from tests.core.memory_rows import configuration
from tests.engine.conftest import Listening, create, go, losses, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
KINDS = ("adamw", "adamw_8bit", "adafactor", "lion", "lion_8bit", "muon")


def made(recipe: Recipe, kind: str, adaptation: str = "full", **training: object) -> Recipe:
    """Six steps with an optimizer, fast enough to learn something."""
    chosen = recipe.edit("adaptation", {"kind": adaptation}).edit("training.optimizer", kind)
    rate = 2e-4 if kind.startswith("lion") else 1e-3
    for name, value in {"max_steps": 6, "warmup": 0, "learning_rate": rate, **training}.items():
        chosen = chosen.edit(f"training.{name}", value)
    return chosen.edit("checks.every", 3)


def trainer_of(root: Path, recipe: Recipe) -> Watched:
    """The trainer of a run, before its first step."""
    run = create(root, recipe)
    voice = Listening(run, lambda run, event: None)
    job = open_job(run, voice, Wishes(run, 0))
    folder = models.resolve(recipe.model)
    tokenizer, lesson = read_rows(job, folder)
    model = lesson.load(folder, job.settings)
    watch = Watch(run, voice, job.wishes, job.settings, None, lambda model, step: None)
    return build_trainer(lesson.trainer, job, watch, model, tokenizer, lesson, lesson.dataset())


def stop_at(step: int) -> Any:
    def listen(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            run.control().ask("stop")

    return listen


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_goes_on_bit_for_bit(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    chosen = made(recipe, kind)
    whole = create(tmp_path / "whole", chosen)
    story = go(whole)
    assert losses(story)[-1] < losses(story)[0]
    assert story.evaluations[-1].loss < story.before.loss
    halves = create(tmp_path / "halves", chosen)
    go(halves, stop_at(3))
    assert losses(go(halves)) == losses(story)
    assert weights(halves) == weights(whole)
