"""The window: steps at the left, one page in the middle, memory and problems at the right."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QTimer, Slot
from PySide6.QtGui import (
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QMainWindow,
)

from core import __version__
from core.errors import CoreError
from core.history import Outcome
from core.places import runs_home
from core.plan import Plan
from core.recipe import Recipe
from core.rundir import RunDir
from gui import leaving, menus, messages, settings, theme
from gui.farewell import Farewell
from gui.files import Files
from gui.frame import Frame
from gui.marks import answering, problem_marks, queue_mark, run_mark
from gui.offline import switch
from gui.pages import PAGES, PageSpec
from gui.pages.base import Page
from gui.queue_desk import QueueDesk
from gui.runner import Runner
from gui.session import Session
from gui.sheet import Sheet

DRAFT_MS = 500
"""A change is on disk after this long without another one."""


class Window(QMainWindow):
    """Navigation and the frame; what is asked and shown belongs to the pages."""

    theme_actions: QActionGroup

    def __init__(self, session: Session, runner: Runner, looks: settings.Looks) -> None:
        super().__init__()
        self.session, self.runner, self.looks = session, runner, looks
        self.files, self.desk = Files(session, self), QueueDesk(runner, self)
        self.farewell = Farewell(self.desk, self)
        self.title = PAGES[0].title
        self._sheets: dict[str, Sheet] = {}
        self._classes: dict[str, type[Page]] = {}
        self._visited: set[str] = set()
        self.settled = False
        """Whether everything that waits for the first paint is there."""
        self._shown = self._leaving = self._replaying = False
        self._save = QTimer(self, singleShot=True, interval=DRAFT_MS)
        self._save.timeout.connect(self.save_draft)
        self._later = QTimer(self, singleShot=True, interval=0)
        self._later.timeout.connect(self._settle)
        self._build()
        self._connect()
        menus.build(self)
        self.rail.redraw()
        known = [spec.title for spec in PAGES if not spec.follows_run]
        self.show_page(looks.page if looks.page in known else known[0])
        self._planned(session.plan)

    def _build(self) -> None:
        self.setMinimumSize(900, 600)
        self.setAcceptDrops(True)
        self.frame = Frame()
        self.rail, self.pages = self.frame.rail, self.frame.pages
        self.footer, self.side = self.frame.footer, self.frame.side
        self.setCentralWidget(self.frame)
        self.resize(1280, 800)
        if self.looks.geometry:
            self.restoreGeometry(QByteArray.fromBase64(self.looks.geometry.encode()))

    def _connect(self) -> None:
        self.session.planned.connect(self._planned)
        self.session.changed.connect(self._changed)
        self.session.refused.connect(self._refused)
        self.runner.opened.connect(self._opened)
        self.runner.changed.connect(self._run_moved)
        self.runner.ended.connect(self._ended)
        self.runner.refused.connect(self._trouble)
        self.rail.chosen.connect(self.show_page)
        self.rail.fresh.connect(self.new_recipe)
        self.rail.looks.connect(self.toggle_dark)
        self.rail.about.connect(self.about)
        switch().refused.connect(self._not_sent)
        self.side.fix.connect(self.session.apply)
        self.side.show_place.connect(self.show_place)
        self.footer.back.clicked.connect(self.go_back)
        self.footer.forward.clicked.connect(self.go_forward)
        self.footer.queue.clicked.connect(self.queue_recipe)
        self.desk.changed.connect(self._queue_moved)
        self.desk.refused.connect(self._trouble)
        self.files.run_chosen.connect(self.runner.open)
        self.files.said.connect(self.footer.say)
        self.files.taken.connect(self.show_place)

    # -- after the first paint ------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """What the first picture can do without is made once it is on the screen."""
        super().showEvent(event)
        if not self._shown:
            self._shown = True
            self.footer.forward.setFocus()
            self._later.start()

    @Slot()
    def _settle(self) -> None:
        """One piece at a time, so that keys and mouse are answered in between."""
        missing = [spec for spec in PAGES if spec.title not in self._classes]
        if missing:
            self._class(missing[0])
            self._later.start()
            return
        self._list_runs()
        self.session.begin()
        self.desk.begin()
        self._mark_steps()
        self.settled = True

    def _list_runs(self) -> None:
        from gui.runs_panel import RunsPanel

        runs = RunsPanel()
        runs.chosen.connect(lambda root: self.runner.open(Path(root)))
        self.rail.add_runs(runs)
        if self.runner.run is None:
            self._attach_live_run()

    def _attach_live_run(self) -> None:
        """An engine goes on when its window is closed; this one watches it again."""
        home = runs_home()
        roots = sorted(home.iterdir(), reverse=True) if home.is_dir() else []
        live = next((root for root in roots if RunDir(root).is_running()), None)
        if live is not None:
            self.runner.open(live)

    # -- pages ----------------------------------------------------------------------------------

    def page(self, title: str) -> Page:
        """The page with this title, built on its first visit."""
        return self._sheet(title).page

    def _class(self, spec: PageSpec) -> type[Page]:
        if spec.title not in self._classes:
            self._classes[spec.title] = spec.load()
        return self._classes[spec.title]

    def _sheet(self, title: str) -> Sheet:
        if title not in self._sheets:
            spec = next(spec for spec in PAGES if spec.title == title)
            page = self._class(spec)(*[getattr(self, name) for name in spec.given])
            page.go.connect(self.show_page)
            self._sheets[title] = Sheet(page)
            self.pages.addWidget(self._sheets[title])
        return self._sheets[title]

    @Slot(str)
    def show_page(self, title: str) -> None:
        """Go to a step."""
        sheet = self._sheet(title)
        if title != self.title:
            self._visited.add(self.title)
        self.title = title
        self.pages.setCurrentWidget(sheet)
        self.rail.select(title)
        self.side.setVisible(not self._spec.follows_run)
        self.setWindowTitle(f"{title} – Tunesmith")
        self._mark_steps()
        self._draw_footer()

    @Slot(str)
    def show_place(self, where: str) -> None:
        """Go to the page that answers for a recipe path."""
        if title := answering(where, self._classes):
            self.show_page(title)

    @property
    def _position(self) -> int:
        return [spec.title for spec in PAGES].index(self.title)

    @property
    def _spec(self) -> PageSpec:
        return PAGES[self._position]

    def go_back(self) -> None:
        """The step before."""
        self.show_page(PAGES[max(0, self._position - 1)].title)

    def go_forward(self) -> None:
        """The step after; on Review this starts the run."""
        if self.title == "Review":
            self.runner.start(self.session.recipe, self.session.plan)
        else:
            self.show_page(PAGES[min(len(PAGES) - 1, self._position + 1)].title)

    def queue_recipe(self) -> None:
        """Let the recipe wait, as it is now, until the machine is free."""
        if self.desk.add(self.session.recipe, self.session.plan):
            self.footer.say(f"Added to the queue; {len(self.desk.queue.waiting)} in line")

    # -- what changed ---------------------------------------------------------------------------

    @Slot(object)
    def _planned(self, plan: Plan) -> None:
        self.side.show_plan(plan, self.session.problems)
        self._mark_steps()
        self._draw_footer()

    @Slot(object)
    def _changed(self, _recipe: Recipe) -> None:
        self.footer.say("Saving…")
        self._save.start()

    @Slot(str, str)
    def _refused(self, path: str, reason: str) -> None:
        self.footer.say(f"{path}: {reason}", "bad")

    @Slot(str)
    def _not_sent(self, text: str) -> None:
        self.footer.say(text, "bad")

    @Slot(object)
    def _trouble(self, error: CoreError) -> None:
        messages.tell_error(self, error)
        self._draw_footer()

    def save_draft(self) -> None:
        """Keep the recipe as it is now."""
        self._save.stop()
        try:
            settings.save_draft(self.session.recipe)
        except OSError as error:
            reason = error.strerror or str(error)
            self.footer.say(f"The recipe could not be saved: {reason}", "bad")
        else:
            self.footer.say("All changes saved")

    def _mark_steps(self) -> None:
        worst = problem_marks(self.session.problems, self._classes)
        for spec in PAGES:
            if not spec.follows_run:
                calm = "done" if spec.title in self._visited else "open"
                self.rail.set_mark(spec.title, *worst.get(spec.title, (calm, "")))  # type: ignore[arg-type]

    @Slot()
    def _run_moved(self) -> None:
        outcome = self.runner.outcome()
        self.rail.set_mark("Run", *run_mark(outcome))
        self.rail.set_mark("Result", "done" if outcome.state == "finished" else "open")

    @Slot()
    def _queue_moved(self) -> None:
        self.rail.set_mark("Queue", *queue_mark(self.desk.standing, self.desk.trouble))
        self._draw_footer()

    def _draw_footer(self) -> None:
        position = self._position
        last = position == len(PAGES) - 1 or PAGES[position + 1].queue
        self.footer.back.setEnabled(position > 0 and not self._spec.queue)
        self.footer.forward.setVisible(not last)
        self.footer.show_queue(self._why_not_ready() if self.title == "Review" else None)
        if self.title == "Review":
            self.footer.show_forward("Start training", "play", self._why_not_start())
        elif not last:
            self.footer.show_forward(f"Next: {PAGES[position + 1].title}", "arrow-right")

    def _why_not_start(self) -> str:
        if self.runner.alive() or self.desk.standing.at_work:
            return "A run is training already."
        return self._why_not_ready()

    def _why_not_ready(self) -> str:
        blockers = [p for p in self.session.problems if p.level == "blocker"]
        return blockers[0].text if blockers else ""

    # -- commands -------------------------------------------------------------------------------

    def new_recipe(self) -> None:
        """Begin from the defaults; undo brings the old recipe back."""
        self.session.replace(Recipe())
        self.show_page(PAGES[0].title)

    def undo(self) -> None:
        """Take the last change back."""
        self.session.undo()

    def redo(self) -> None:
        """Make it again."""
        self.session.redo()

    def wear(self, choice: theme.Choice) -> None:
        """Change the theme, now and for the next start."""
        self.looks = self.looks.model_copy(update={"theme": choice})
        for action in self.theme_actions.actions():
            action.setChecked(action.data() == choice)
        theme.wear(_application(), choice)
        self.rail.redraw()
        self._draw_footer()

    def toggle_dark(self) -> None:
        """Light instead of dark, or the other way round."""
        self.wear("light" if theme.current().dark else "dark")

    def toggle_side(self) -> None:
        """Fold the side panel or open it."""
        self.side.fold(not self.side.folded)

    def about(self) -> None:
        """Say what this is."""
        messages.tell(
            self,
            f"Tunesmith {__version__}",
            "Fine-tunes language models, and proves what was learned. Apache-2.0. "
            "Icons: Lucide (ISC). Font: Inter (OFL). Widgets: Qt (LGPL).",
        )

    # -- runs -----------------------------------------------------------------------------------

    @Slot(object)
    def _opened(self, _run: RunDir) -> None:
        self._replaying = not self.runner.alive()
        self._run_moved()
        self.show_page("Run")

    @Slot(object)
    def _ended(self, outcome: Outcome) -> None:
        """A run from the past is opened for its result; a live one leaves the eyes on its curve."""
        if self._replaying and outcome.state == "finished" and self.title == "Run":
            self.show_page("Result")
        self._run_moved()
        self._draw_footer()
        if not self.isActiveWindow():
            QApplication.alert(self)

    # -- Qt -------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files and folders are welcome."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """A run, a model, a recipe or a dataset."""
        path = Path(event.mimeData().urls()[0].toLocalFile())
        if not self.files.take(path):
            messages.tell(
                self,
                f"{path.name} is neither a run, a model folder, a recipe nor a dataset.",
                "Datasets end in .jsonl, .csv, .parquet or the like; recipes in .yaml.",
            )

    def closeEvent(self, event: QCloseEvent) -> None:
        """Training is never ended by accident: a live run asks first."""
        if leaving.needs_asking(self) and not self._leaving:
            event.ignore()
            leaving.ask(self)
            return
        if self._save.isActive():
            self.save_draft()
        self._save_looks()
        self.desk.leave()
        self.runner.detach()
        event.accept()

    def leave(self) -> None:
        """Close without asking; training goes on."""
        self._leaving = True
        self.close()

    def _save_looks(self) -> None:
        geometry = bytes(self.saveGeometry().toBase64().data()).decode()
        kept = {"geometry": geometry, "page": self.title}
        try:
            settings.save_looks(self.looks.model_copy(update=kept))
        except OSError:
            return  # looks are a comfort; a full disk must not keep the window from closing


def _application() -> QApplication:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app
