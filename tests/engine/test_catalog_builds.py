"""Shapes of the catalogue against the models that transformers builds from them."""

from __future__ import annotations

import pytest

from core.adapt import Lora
from core.catalog import CatalogModel, models
from core.engine.attention import implementation
from core.engine.meta_model import build, read_configuration
from core.memory.closed import EAGER
from core.memory.setup import Setup

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_transformers_builds_what_is_listed(model: CatalogModel) -> None:
    """Within 0.01 %; a Falcon of 40 billion, whose layers differ, within 1.1 %."""
    config = read_configuration(model.config())
    written_out = model.facts().architecture.startswith(EAGER)
    assert (implementation(config) == "eager") == written_out
    built = build(config, Lora(), Setup())
    numbers = sum(parameter.numel() for parameter in built.parameters())
    assert numbers == pytest.approx(model.counted, rel=0.011 if "falcon" in model.name else 1e-4)
