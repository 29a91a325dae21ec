"""Data: choose examples, see how they are read, and what exactly will be learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QHBoxLayout, QMenu, QProgressBar

from core.checkup import BROKEN
from core.dataset import DataFacts
from core.errors import CoreError, DataError
from core.formats import FORMATS
from core.places import SAMPLE, expand
from core.plan import Plan
from core.recipe import Recipe
from gui.background import Task
from gui.columns import ColumnsEditor, peek_columns
from gui.doctor import Doctor
from gui.doctor_card import DoctorCard
from gui.drop_zone import DropZone
from gui.files import ask_dataset
from gui.hub_data import HubDataCard
from gui.make_card import MakeCard
from gui.mix_card import MixCard
from gui.origin_notice import OriginNotice
from gui.pages.base import Page
from gui.parts import Disclosure, Pile
from gui.preview_card import PreviewCard
from gui.split_card import SplitCard
from gui.widgets import Card, Chip, Notice, PlainLabel, QuietButton

_LISTED = 5


class Sample(NamedTuple):
    """A dataset that ships with the program."""

    title: str
    path: str
    heldout: str = ""


SAMPLES = (
    Sample(
        "Support tickets: messages to JSON, 1,200 rows",
        f"{SAMPLE}tickets.jsonl",
        f"{SAMPLE}tickets_heldout.jsonl",
    ),
    Sample("Short stories: instructions, 300 rows", f"{SAMPLE}stories.alpaca.json"),
    Sample("Small questions: prompt and answer, 200 rows", f"{SAMPLE}prompts.jsonl"),
)


class DataPage(Page):
    """A drop zone, then everything that was found out about the file."""

    title: ClassVar = "Data"
    question: ClassVar = "What should it learn from?"
    help: ClassVar = "Drop a file. The format is found for you, and every row is checked."
    icon: ClassVar = "database"
    paths: ClassVar = ("data",)

    def build(self) -> None:
        """Top to bottom: choose, understand, hold out, look."""
        self._columns: tuple[str, ...] = ()
        self.body.addWidget(self._chooser())
        self.hub = Disclosure("Take a dataset of the Hugging Face Hub", HubDataCard(self.session))
        self.body.addWidget(self.hub)
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setAccessibleName("Reading the dataset")
        self.body.addWidget(self.busy)
        self.body.addLayout(self._waiting())
        self.trouble = Pile()
        self.body.addWidget(self.trouble)
        self.origin = OriginNotice(self.session)
        self.body.addWidget(self.origin)
        self.body.addWidget(self._recognised())
        self.doctor = Doctor(self.session, self)
        self.card = DoctorCard(self.doctor, self)
        self.doctor.changed.connect(self._examined)
        self.card.diff.accepted.connect(self.browse.setFocus)
        self.body.addWidget(self.card)
        self.split = SplitCard(self.session, self.doctor)
        self.split.browse.clicked.connect(self._browse_heldout)
        self.body.addWidget(self.split)
        self.mix = MixCard(self.session)
        self.body.addWidget(self.mix)
        self.making = MakeCard(self.session)
        self.body.addWidget(self.making)
        self.preview = PreviewCard(self.session)
        self.body.addWidget(self.preview)
        self.body.addStretch(1)
        self.session.trouble.connect(self._troubled)
        self._troubled("data", self.session.troubles.get("data"))

    def _waiting(self) -> QHBoxLayout:
        """How far the reading of a large dataset is, and ways to stop it and to go on."""
        self.far = PlainLabel("", "muted")
        self.stop = QuietButton("Stop reading", "x")
        self.stop.clicked.connect(self.session.reader.stop)
        self.again = QuietButton("Read all rows", "refresh-cw")
        self.again.clicked.connect(self.session.read_again)
        self.session.reader.moved.connect(self._show_reading)
        line = QHBoxLayout()
        line.addWidget(self.far, 1)
        line.addWidget(self.stop)
        line.addWidget(self.again)
        return line

    @Slot()
    def _show_reading(self) -> None:
        reader, facts = self.session.reader, self.session.facts.data
        part = facts is not None and not facts.whole
        self.busy.setVisible(reader.busy)
        self.stop.setVisible(reader.busy)
        self.again.setVisible(part and not reader.busy)
        read = f"{reader.rows:,} rows read so far." if reader.busy and reader.rows else ""
        first = "The first rows are shown already." if part and reader.busy else ""
        stopped = "Reading was stopped: only the first rows are known." if part else ""
        self.far.setText(f"{read} {first}".strip() if reader.busy else stopped)
        self.far.setVisible(bool(self.far.text()))

    def _chooser(self) -> DropZone:
        self.zone = DropZone("")
        self.zone.dropped.connect(self.session.use_data)
        self.browse = QuietButton("Choose a file…", "folder-open")
        self.browse.clicked.connect(self._browse)
        self.samples = QuietButton("Use a sample", "sparkles")
        menu = QMenu(self.samples)
        for sample in SAMPLES:
            entry = menu.addAction(sample.title)
            entry.triggered.connect(lambda _, s=sample: self.session.use_data(s.path, s.heldout))
        self.samples.setMenu(menu)
        self.zone.buttons.addWidget(self.browse)
        self.zone.buttons.addWidget(self.samples)
        return self.zone

    def _recognised(self) -> Card:
        self.format = Card("Format")
        self.certainty, self.reason = Chip(), PlainLabel("", "muted")
        self.format.header.addWidget(self.certainty)
        self.editor = ColumnsEditor(self.session)
        self.mapping = Disclosure("Not right? Choose format and columns", self.editor)
        self.format.add(self.reason, self.mapping)
        return self.format

    def _browse(self) -> None:
        ask_dataset(self, "Choose a dataset", lambda path: self.session.use_data(path))

    def _browse_heldout(self) -> None:
        ask_dataset(
            self, "Choose held-out rows", lambda path: self.session.edit("data.heldout", path)
        )

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Draw the dataset as far as it is known."""
        facts = self._facts()
        self.zone.say(*_chosen(recipe.data.path, facts))
        self._show_reading()
        self._show_format(recipe, facts)
        self.split.refresh()
        self.mix.setVisible(bool(recipe.data.path))
        self.mix.show_plan(recipe, plan)
        self.making.setVisible(bool(recipe.data.path))
        self.preview.refresh()

    def _facts(self) -> DataFacts | None:
        """What is known; of a file with broken lines the doctor knows the rest."""
        health = self.doctor.health
        return self.session.facts.data or (health.facts if health else None)

    def _show_format(self, recipe: Recipe, facts: DataFacts | None) -> None:
        lost = "data" in self.session.troubles
        waiting = self.doctor.errand.busy and not self.doctor.mending
        self.format.setVisible(facts is not None or bool(lost and self._columns and not waiting))
        if facts is not None:
            self._columns = facts.columns
            name = next((f.title for f in FORMATS if f.name == facts.format), facts.format)
            self.format.heading.setText(name)
            sure = "ok" if facts.confidence >= 0.95 else "warn"
            self.certainty.show_as(f"{facts.confidence:.0%} sure", sure)  # type: ignore[arg-type]
            self.reason.setText(f"Recognised because {facts.reason}.")
        elif lost and not waiting:
            self.format.heading.setText("Format not recognised")
            self.certainty.show_as("?", "bad")
            self.reason.setText("Choose the format, then say which column plays which part.")
            self.mapping.unfold(True)
        self.editor.show_reading(recipe, facts, self._columns)

    def _troubled(self, what: str, error: CoreError | None) -> None:
        if what != "data":
            return
        self._show_trouble()
        if error is not None:
            path = expand(self.session.recipe.data.path).expanduser()
            peek = Task(self, lambda: peek_columns(path))
            peek.then(self._peeked).failed(lambda _: self._peeked(())).start()

    def _show_trouble(self) -> None:
        """The error; broken lines can be left out as soon as the doctor has seen the others."""
        error, health = self.session.troubles.get("data"), self.doctor.health
        fix = health is not None and any(found.code == BROKEN for found in health.findings)
        leave_out = self._leave_out if fix else None
        self.trouble.fill((error, fix), lambda: _explain(error, leave_out) if error else [])

    def _leave_out(self) -> None:
        self.doctor.mend([BROKEN])

    def _examined(self) -> None:
        self._show_trouble()
        if "data" in self.session.troubles and not self.doctor.errand.busy:
            self._show_format(self.session.recipe, self._facts())

    def _peeked(self, columns: tuple[str, ...]) -> None:
        if "data" in self.session.troubles:
            self._columns = columns
            self._show_format(self.session.recipe, self._facts())


def _chosen(path: str, facts: DataFacts | None) -> tuple[str, str]:
    if not path:
        return "Drop a .jsonl, .csv, .parquet or other file here", "or choose one, or use a sample"
    name = Path(path.removeprefix(SAMPLE)).name
    where = "a sample that comes with Tunesmith" if path.startswith(SAMPLE) else path
    if facts is None:
        return name, where
    if not facts.whole:
        return f"{name}: the first {facts.rows:,} rows", where
    left = f", {facts.unusable:,} left out" if facts.unusable else ""
    return f"{name}: {facts.rows:,} rows{left}", where


def _explain(error: CoreError, leave_out: Callable[[], None] | None) -> list[Notice]:
    """The error, and the first lines at fault."""
    fix = "Leave them out, in a copy" if leave_out else ""
    notices = [Notice("bad", f"{error} {error.hint}".strip(), fix, leave_out)]
    problems = error.problems[1:_LISTED] if isinstance(error, DataError) else ()
    return notices + [Notice("warn", problem.text) for problem in problems]
