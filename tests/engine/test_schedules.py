"""The course of the rate that a window previews is the one that the engine takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import get_scheduler

from core.draft import Settings
from core.engine.arguments import arguments
from core.plan import Plan
from core.recipe import Recipe
from core.schedules import rate_at
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
CHOICES = (
    {"schedule": "cosine"},
    {"schedule": "cosine", "final_rate": 0.1},
    {"schedule": "linear"},
    {"schedule": "constant"},
    {"schedule": "wsd"},
    {"schedule": "wsd", "final_rate": 0.1, "decay": 0.9},
    {"schedule": "inverse_sqrt"},
)


def changed(recipe: Recipe, choices: dict[str, object]) -> Recipe:
    for name, value in choices.items():
        recipe = recipe.edit(f"training.{name}", value)
    return recipe


@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize("warm", [0, 1, 4])
@pytest.mark.parametrize("steps", [1, 5, 17])
def test_the_preview_is_what_the_library_makes_of_the_arguments(
    recipe: Recipe, choices: dict[str, object], warm: int, steps: int
) -> None:
    chosen = changed(recipe, choices)
    settings = Settings(
        device="cpu", bf16=False, learning_rate=3e-4, max_length=64, micro_batch=1,
        accumulation=1, checkpointing=False, steps=steps, warmup_steps=min(warm, steps),
    )  # fmt: skip
    given = arguments(chosen, settings, Path("nowhere"))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=given["learning_rate"])
    scheduler = get_scheduler(
        given["lr_scheduler_type"],
        optimizer,
        settings.warmup_steps,
        steps,
        given.get("lr_scheduler_kwargs"),
    )
    for step in range(1, steps + 1):
        assert rate_at(chosen.training, settings, step) == scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()


def engine_takes_the_preview(root: Path, recipe: Recipe, choices: dict[str, object]) -> None:
    chosen = changed(recipe, {"max_steps": 5, "warmup": 0.3, **choices})
    run = create(root, chosen)
    story = go(run)
    settings = Plan.model_validate_json(run.plan_file.read_bytes()).settings
    assert settings is not None
    assert len(story.steps) == 5
    for step in story.steps:
        assert step.learning_rate == pytest.approx(
            rate_at(chosen.training, settings, step.step), rel=1e-12
        )


@pytest.mark.parametrize("choices", [CHOICES[5]], ids=str)
def test_the_engine_takes_the_previewed_rates(
    tmp_path: Path, recipe: Recipe, choices: dict[str, object]
) -> None:
    engine_takes_the_preview(tmp_path / "run", recipe, choices)


@pytest.mark.slow
@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_the_engine_takes_the_previewed_rates_of_every_schedule(
    tmp_path: Path, recipe: Recipe, choices: dict[str, object]
) -> None:
    engine_takes_the_preview(tmp_path / "run", recipe, choices)
