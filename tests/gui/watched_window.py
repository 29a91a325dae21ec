"""The window as users open it, which also writes down how far it is and what it draws.

`watched_window.py WANTED REPLY [RECIPE]`: as soon as the curve has come to the step that the file
WANTED names, its points are written to REPLY. With a RECIPE the window first starts its run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from core.durable import write_atomically
from gui import app
from gui.charts import RunCharts
from gui.pages.run import RunPage
from gui.window import Window

LOOK_MS = 20


class Watcher:
    """Looks at the window several times a second."""

    def __init__(self, wanted: Path, reply: Path, recipe: Path | None) -> None:
        self.wanted, self.reply, self.recipe = wanted, reply, recipe
        self.told = ""

    def look(self) -> None:
        """Tell the stage on stdout when it changes."""
        found = [w for w in QApplication.topLevelWidgets() if isinstance(w, Window)]
        stage = self.stage(found[0]) if found else "before the window is there"
        if stage != self.told:
            self.told = stage
            print(stage, flush=True)

    def stage(self, window: Window) -> str:
        if not window.settled:
            return "while the window is built"
        if window.runner.run is None:
            self.start(window)
            return "while it looks for runs"
        page = window.page("Run")
        assert isinstance(page, RunPage)
        if not window.runner.history.steps:
            return "while it reads the log"
        if self.wanted.exists() and not self.reply.exists():
            self.tell(window, page.charts)
        return "while it draws"

    def start(self, window: Window) -> None:
        """Press the button, once it can be pressed."""
        plan = window.session.plan
        if self.recipe is None or plan.blockers or plan.settings is None:
            return
        window.show_page("Review")
        if window.footer.forward.isEnabled():
            window.footer.forward.click()

    def tell(self, window: Window, charts: RunCharts) -> None:
        loss = charts.curves.loss
        if not len(loss) or loss.x[-1] < int(self.wanted.read_text(encoding="utf-8")):
            return
        drawn = charts.loss._curves["loss"].getData()
        if drawn[0] is None or drawn[0][-1] != loss.x[-1]:  # charts take turns
            return
        series = {"loss": loss, "saved": charts.curves.saved, "heldout": charts.curves.heldout}
        told = {
            name: list(zip(one.x.tolist(), one.y.tolist(), strict=True))
            for name, one in series.items()
        }
        told["drawn"] = list(zip(*(numbers.tolist() for numbers in drawn), strict=True))
        window.grab().save(str(self.reply.with_suffix(".png")))
        write_atomically(self.reply, json.dumps(told | {"outcome": window.runner.outcome().state}))


def main(wanted: str, reply: str, *recipe: str) -> int:
    app.make_application()
    watcher = Watcher(Path(wanted), Path(reply), Path(recipe[0]) if recipe else None)
    timer = QTimer(interval=LOOK_MS)
    timer.timeout.connect(watcher.look)
    timer.start()
    return app.run(app.Options(recipe=watcher.recipe))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
