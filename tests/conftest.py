"""No test touches the developer's home, screen or network."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, empty at first."""
    place = tmp_path / "home"
    monkeypatch.setenv("TUNESMITH_HOME", str(place))
    return place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts the training libraries is marked by where it lives."""
    for item in items:
        if Path(item.path).is_relative_to(ROOT / "tests" / "engine"):
            item.add_marker("engine")
