"""Time to the first picture of the window, beside what importing Qt alone costs here.

    python tests/bench/startup.py

Both are measured in turns on the same machine, so that its load strikes both alike; the ratio is
the number to compare. Writes startup.json beside itself.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).with_suffix(".json")
ROUNDS = 7
QT = "import PySide6.QtWidgets"
WINDOW = """
import os
from PySide6.QtCore import QEvent, QObject
from gui import app

class FirstPaint(QObject):
    def eventFilter(self, watched, event):
        painted = event.type() == QEvent.Type.Paint and watched.isWidgetType()
        if painted and watched.window() is window:
            os._exit(0)
        return False

made = app.make_application()
window = app.make_window(app.Options())
watch = FirstPaint()
made.installEventFilter(watch)
window.show()
made.exec()
"""


def seconds(code: str, home: str) -> float:
    """How long a fresh interpreter takes over `code`."""
    environment = os.environ | {"TUNESMITH_HOME": home, "QT_QPA_PLATFORM": "offscreen"}
    environment |= {"PYTHONPYCACHEPREFIX": f"{home}/compiled"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begun


def measure(rounds: int) -> dict[str, object]:
    """Medians of both, after one round that only warms the disk."""
    with tempfile.TemporaryDirectory() as home:
        pairs = [(seconds(QT, home), seconds(WINDOW, home)) for _ in range(rounds + 1)][1:]
    qt = statistics.median(pair[0] for pair in pairs)
    window = statistics.median(pair[1] for pair in pairs)
    return {
        "command": "python tests/bench/startup.py",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "rounds": rounds,
        "import_qt_seconds": round(qt, 3),
        "first_window_seconds": round(window, 3),
        "ratio": round(window / qt, 2),
    }


def main() -> None:
    result = measure(ROUNDS)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        f"first window {result['first_window_seconds']} s, import of Qt "
        f"{result['import_qt_seconds']} s, ratio {result['ratio']}"
    )


if __name__ == "__main__":
    main()
