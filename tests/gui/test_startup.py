"""The first picture needs neither the training libraries nor the plots."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gui

ROOT = Path(gui.__file__).parents[1]
HEAVY = {
    "torch", "transformers", "datasets", "trl", "peft", "accelerate", "bitsandbytes",
    "pyqtgraph", "numpy", "pandas", "pyarrow", "huggingface_hub",
}  # fmt: skip
OPEN_AND_LIST = """
import json, os, sys
from PySide6.QtCore import QEvent, QObject
from gui import app

class FirstPaint(QObject):
    def eventFilter(self, watched, event):
        painted = event.type() == QEvent.Type.Paint and watched.isWidgetType()
        if painted and watched.window() is window:
            seen = {"modules": sorted(sys.modules), "settled": window.settled}
            print(json.dumps(seen), flush=True)
            os._exit(0)
        return False

made = app.make_application()
window = app.make_window(app.Options())
watch = FirstPaint()
made.installEventFilter(watch)
window.show()
made.exec()
"""


def python(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"TUNESMITH_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_nothing_heavy_is_imported_before_the_first_paint(tmp_path: Path) -> None:
    done = python(OPEN_AND_LIST, tmp_path)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    tops = {name.partition(".")[0] for name in seen["modules"]}
    assert "PySide6" in tops
    assert tops & HEAVY == set()
    assert not any(name.startswith("core.engine") for name in seen["modules"])
    assert seen["settled"] is False


def test_the_headless_tool_is_reached_without_qt(tmp_path: Path) -> None:
    code = (
        "import sys; from gui.__main__ import main; status = main(['--version']); "
        "assert 'PySide6' not in sys.modules; sys.exit(status)"
    )
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "." in done.stdout


def test_a_wrong_word_is_refused_in_a_sentence(tmp_path: Path) -> None:
    code = "from gui.__main__ import main; main(['--theme', 'pink'])"
    done = python(code, tmp_path)
    assert done.returncode == 2
    assert "pink" in done.stderr
    assert "Traceback" not in done.stderr
