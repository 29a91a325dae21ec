"""Draw the pictures of the README anew: the real window, a real run, no screen needed.

    .venv/bin/python packaging/screenshots.py RUN

RUN is a finished run, for instance the folder of `tunesmith demo --out RUN`. Fonts ship with the
program, so the same run gives the same pictures on every machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
PATIENCE = 120.0
"""Seconds for the slowest thing waited for: counting tokens loads the training libraries."""


def main() -> int:
    """Five pictures into docs/images."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the README.")
    parser.add_argument("run", type=Path, help="a finished run")
    run = parser.parse_args().run
    with tempfile.TemporaryDirectory() as home:
        os.environ["TUNESMITH_HOME"] = home
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        sys.path.insert(0, str(ROOT))
        draw(run)
    return 0


def draw(run: Path) -> None:
    """The set-up in both themes, the run, and its result."""
    from PySide6.QtWidgets import QApplication

    from core.catalog import find_gpu
    from gui.app import Options, make_window
    from gui.pages.data import DataPage

    window = make_window(Options(recipe=ROOT / "resources" / "recipes" / "tickets.yaml"))
    window.resize(1280, 800)
    window.show()

    def wait(ready: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, "nothing came in time"
            QApplication.processEvents()
            time.sleep(0.01)

    def take(name: str) -> None:
        pause = time.monotonic() + 0.5  # charts and scroll areas settle over a few turns
        wait(lambda: time.monotonic() > pause)
        window.grab().save(str(IMAGES / name))
        print(IMAGES / name)

    IMAGES.mkdir(parents=True, exist_ok=True)
    wait(lambda: window.settled and window.session.facts.tokens is not None)
    window.wear("light")
    window.show_page("Data")
    data = window.page("Data")
    assert isinstance(data, DataPage)
    wait(lambda: data.doctor.health is not None)
    take("window-light.png")
    window.wear("dark")
    window.show_page("Method")
    take("window-dark.png")
    window.wear("light")
    window.runner.open(run)
    wait(lambda: window.title == "Result")
    take("result.png")
    window.show_page("Run")
    take("run.png")
    window.session.edit("model", "meta-llama/Llama-3.1-8B")
    window.session.plan_for(find_gpu("RTX 4090"))
    window.show_page("Memory")
    take("memory.png")
    window.leave()


if __name__ == "__main__":
    raise SystemExit(main())
