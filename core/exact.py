"""The exact memory of a step, also of a model of which only the shape is known."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from core import launch
from core.catalog import find_model
from core.memory.setup import Setup
from core.memory.traced import Traced
from core.models import ModelFacts
from core.recipe import AnyAdaptation


def trace(model: ModelFacts, adaptation: AnyAdaptation, setup: Setup) -> Traced:
    """Trace one step in a child process. Raises CoreError with the engine's words."""
    if model.here or model.path.exists():
        return launch.trace(model.path, adaptation, setup)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(find_model(model.name).config()), encoding="utf-8")
        return launch.trace(config, adaptation, setup)
