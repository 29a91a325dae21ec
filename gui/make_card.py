"""New rows by a model: who writes them, how many, and what they may cost."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QApplication, QCheckBox, QLineEdit, QProgressBar, QVBoxLayout, QWidget

from core import offline
from core.copies import home_for, stem_of
from core.errors import CoreError
from core.making import keys
from core.making.endpoint import is_here
from core.making.job import Job, Making
from core.making.ledger import part_of
from core.making.order import Made, Order, Progress
from core.making.sieve import WHY
from core.making.source import Source
from core.places import expand
from core.vault import can_keep
from gui.background import Task
from gui.fields import Choice
from gui.offline import OfflineNotice, switch
from gui.parts import Disclosure
from gui.session import Session
from gui.value_form import ValueForm
from gui.widgets import Card, Notice, PlainLabel, QuietButton, row

_ABOUT = (
    "A model writes rows like yours; about documents it writes questions and answers. The doctor "
    "judges each of them, but whether an answer is true is for you to check. Your rows stay as "
    "they are: the new ones go to a file of their own."
)
_HERE, _SERVER = "here", "server"
_ORDER = ("rows", "per_request", "examples", "temperature", "max_tokens", "seed", "max_rows")
_COST = ("usd_per_million_input", "usd_per_million_output", "max_usd")


class MakeCard(Card):
    """Orders rows from a process and follows it; at the end it offers them as the dataset."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("More rows, written by a model", parent)
        self.session = session
        self._making: Making | None = None
        self._begun: tuple[Job, Path] | None = None
        """What was not finished, and its file: the same order goes on with it."""
        self._output = ""
        self._build_forms()
        self.progress, self.status, self.notice = QProgressBar(), PlainLabel("", "muted"), Notice()
        self.progress.setAccessibleName("Rows kept")
        self.start = QuietButton("Make rows", "sparkles")
        self.start.clicked.connect(self.make)
        self.stop = QuietButton("Cancel", "square")
        self.stop.clicked.connect(self.cancel)
        self.unfolding = Disclosure("Make rows…", self._content())
        self.notice.hide()
        self.notice.pressed.connect(self._use)
        self.add(PlainLabel(_ABOUT, "muted"), self.unfolding, self.progress, self.status)
        self.add(self.notice)
        switch().changed.connect(self._obey)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.cancel)
        self._update()

    def _build_forms(self) -> None:
        self.who = Choice()
        self.who.setAccessibleName("Who writes the rows")
        self.who.addItem("A model on this computer", _HERE)
        self.who.addItem("A server with a model", _SERVER)
        self.who.activated.connect(lambda _: self._update())
        source = Source(model=self.session.recipe.model)
        self.here = ValueForm(source, ["model"])
        self.server = ValueForm(source, ["endpoint", "remote_model", "timeout"])
        self.key, self.keep = QLineEdit(), QCheckBox("Keep it in the system's keyring")
        self.key.setEchoMode(QLineEdit.EchoMode.Password)
        self.key.setAccessibleName("Key")
        about = f"Sent to this address alone. Empty: from {keys.KEYS[0]} or the keyring, if there."
        self.server.add_row("Key", self.key, about)
        self.keep.setVisible(can_keep())
        order = Order(seeds=Path(), output=Path())
        self.order, self.cost = ValueForm(order, _ORDER), ValueForm(order, _COST)

    def _content(self) -> QWidget:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        self.sent = Notice("note", "Your rows or documents are sent to this server.")
        self.away = OfflineNotice("A server elsewhere", hub=False)
        for part in (
            self.who,
            self.here,
            self.away,
            self.sent,
            self.server,
            self.keep,
            self.order,
            self.cost,
        ):
            column.addWidget(part)
        column.addLayout(row(self.start, self.stop))
        return content

    @property
    def remote(self) -> bool:
        """Whether a server writes."""
        return bool(self.who.currentData() == _SERVER)

    def job(self) -> Job:
        """What is ordered now, of whom; where the rows go is left open."""
        data, order, cost = self.session.recipe.data, self.order.value, self.cost.value
        wanted = {
            "seeds": expand(data.path).expanduser().absolute(),
            "format": data.format,
            "columns": dict(data.columns),
        }
        money = {name: getattr(cost, name) for name in _COST} if self.remote else {}
        left = {"model": ""} if self.remote else {"endpoint": "", "remote_model": ""}
        source = self.server.value if self.remote else self.here.value
        return Job(
            order=Order.model_validate(order.model_copy(update=wanted | money).model_dump()),
            source=Source.model_validate(source.model_copy(update=left).model_dump()),
        )

    def make(self) -> None:
        """Start, or go on with what the same order has begun."""
        if self._making is not None or not self.session.recipe.data.path or self._faulty():
            return
        try:
            asked = self.job()
            target = self._target(asked)
        except CoreError as error:
            self._failed(error)
            return
        self._begun = (_lasting(asked), target)
        order = asked.order.model_copy(update={"output": target})
        making = Making(asked.model_copy(update={"order": order}), self._secret())
        self._making = making
        self.notice.hide()
        self.status.setText("Asking …")
        task = Task(self, lambda: _follow(making, task))
        task.progress(self._advance).then(lambda _: self._ended(making)).failed(self._failed)
        task.start()
        self._update()
        self.stop.setFocus()

    def _obey(self) -> None:
        """No server elsewhere is asked any more when the network is closed."""
        source = self.server.value
        here = isinstance(source, Source) and is_here(source.endpoint)
        if offline.wanted() and self.remote and not here:
            self.cancel()
        self._update()

    def cancel(self) -> None:
        """End the work; the same order goes on with it."""
        if self._making is not None:
            self._making.cancel()

    def _faulty(self) -> bool:
        return any(form.faulty for form in (self.here, self.server, self.order, self.cost))

    def _secret(self) -> str:
        return self.key.text().strip() if self.remote else ""

    def _target(self, asked: Job) -> Path:
        if self._begun is not None and self._begun[0] == _lasting(asked):
            return self._begun[1]
        return free_target(asked.order.seeds)

    def _advance(self, at: Progress) -> None:
        self.progress.setRange(0, at.wanted)
        self.progress.setValue(at.kept)
        self.status.setText(f"{at}.")

    def _ended(self, making: Making) -> None:
        self._making = None
        if making.made is None:
            self.notice.show_as("note", "Cancelled. The same order goes on from here.")
        else:
            self._made(making.made)
        self.notice.show()
        self._update()

    def _made(self, made: Made) -> None:
        counts = sorted(made.rejected.items(), key=lambda entry: -entry[1])
        words = [f"{made.rows:,} rows are in {Path(made.output).name}."]
        if made.outcome == "limit":
            words.append("A limit ended the work; with a higher one it goes on.")
        else:
            self._begun = None
        if counts:
            words.append(f"Rejected: {'; '.join(f'{n:,} {WHY[code]}' for code, n in counts)}.")
        self._output = made.output
        self.notice.show_as("ok", " ".join((*words, *made.warnings)), "Use them as dataset")
        if self.keep.isChecked() and self._secret():
            url, secret = self.job().source.endpoint, self._secret()
            Task(self, lambda: keys.keep(url, secret)).failed(self._failed).start()

    def _use(self) -> None:
        self.session.use_data(self._output)

    def _failed(self, error: CoreError) -> None:
        self._making = None
        self.notice.show_as("bad", f"{error} {error.hint}".strip())
        self.notice.show()
        self._update()

    def _update(self) -> None:
        busy = self._making is not None
        for widget in (self.progress, self.status, self.stop):
            widget.setVisible(busy)
        self.start.setEnabled(not busy)
        self.here.setVisible(not self.remote)
        for part in (self.server, self.cost, self.sent):
            part.setVisible(self.remote)
        self.keep.setVisible(self.remote and can_keep())
        self.away.setVisible(self.remote and self.away.active)


def _follow(making: Making, task: Task) -> None:
    """Runs beside the window until the work ends."""
    for at in making.progress():
        task.report(at)


def _lasting(job: Job) -> Job:
    """A job without its limits and prices, which may change while it goes on."""
    free = {"rows": 1, "max_rows": None, **dict.fromkeys(_COST)}
    return job.model_copy(update={"order": job.order.model_copy(update=free)})


def free_target(seeds: Path) -> Path:
    """The first free name of the form `name.made-1.jsonl` where copies of a dataset go."""
    home, stem = home_for(seeds), stem_of(seeds)
    tries = (home / f"{stem}.made-{number}.jsonl" for number in range(1, 10_000))
    return next(path for path in tries if not path.exists() and not part_of(path).exists())
