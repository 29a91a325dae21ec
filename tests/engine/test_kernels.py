"""What makes layers faster is handed to the libraries as the plan says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.engine.arguments import arguments
from core.recipe import Recipe
from tests.engine.conftest import plan_of
from tests.engine.test_optimizers import trainer_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


def test_liger_gets_the_layers_and_never_the_loss(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own loss would take the place of the fused output layer. The kernels need a GPU, so
    whatever would put them in is only asked what it was given."""
    asked: list[tuple[Any, dict[str, bool]]] = []
    monkeypatch.setattr(
        "transformers.trainer.apply_liger_kernel", lambda *given: asked.append(given)
    )
    chosen, plan = recipe.edit("training.max_steps", 1), plan_of(recipe)
    assert plan.settings is not None
    settings = plan.settings.model_copy(update={"kernels": "liger", "steps": 1})
    planned = plan.model_copy(update={"settings": settings})
    with trainer_of(tmp_path / "run", chosen, planned) as trainer:
        trainer.train()
    ((model, config),) = asked
    assert model is trainer.model
    assert config == {"cross_entropy": False, "fused_linear_cross_entropy": False}


def test_without_liger_nothing_is_asked_for(tmp_path: Path, recipe: Recipe) -> None:
    settings = plan_of(recipe).settings
    assert settings is not None
    assert settings.kernels == "none"
    assert not {name for name in arguments(recipe, settings, tmp_path) if "liger" in name}
