"""Review: every choice, every reason, every problem, before the window's button starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from PySide6.QtWidgets import QHBoxLayout, QWidget

from core.errors import Problem
from core.numbers import show_bytes, show_count, show_duration, show_number
from core.places import SAMPLE, runs_home
from core.plan import Plan
from core.recipe import Recipe
from core.value import Value
from gui.forms import for_experts
from gui.pages.base import Page
from gui.parts import LEVELS, FactsTable, Pile
from gui.widgets import Card, LinkButton, Notice


class ReviewPage(Page):
    """Nothing is chosen here; everything is seen once more."""

    title: ClassVar = "Review"
    question: ClassVar = "Ready to train?"
    help: ClassVar = "What will happen, and why. Nothing has been started yet."
    icon: ClassVar = "clipboard-check"

    def build(self) -> None:
        """Verdict, problems, choices, automatic values."""
        self.verdict = Notice()
        first = Card("What will happen")
        self.numbers = FactsTable()
        first.add(self.numbers, self.verdict)
        self.problems = Pile()
        choices = Card("Your choices")
        self.choices = FactsTable()
        choices.add(self.choices)
        self.automatic = Card("Chosen automatically")
        self.decisions = FactsTable()
        self.automatic.add(self.decisions)
        for widget in (first, self.problems, choices, self.automatic):
            self.body.addWidget(widget)
        self.body.addStretch(1)

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Draw the whole plan."""
        self.numbers.show_facts(numbers(recipe, plan))
        self.choices.show_facts(choices(recipe))
        self.decisions.show_facts((d.name, f"{d.value}: {d.because}") for d in plan.decisions)
        self.automatic.setVisible(bool(plan.decisions))
        problems = self.session.problems
        self.problems.fill(problems, lambda: [self._line(p) for p in problems])
        reason = self._why_not(plan, sum(p.level == "blocker" for p in problems))
        self.verdict.show_as("bad" if reason else "ok", reason or "Ready: nothing is in the way.")

    def _why_not(self, plan: Plan, count: int) -> str:
        """Why it cannot start now; empty when it can."""
        if plan.ready:
            return ""
        if self.session.reading:
            return "The dataset is still being read."
        if count:
            return f"{count} thing{'s' if count > 1 else ''} must be fixed before the start."
        return "Choose a model and a dataset first."

    def _line(self, problem: Problem) -> QWidget:
        """The problem with its fix, and the way to the place it is about."""
        line = QWidget()
        beside = QHBoxLayout(line)
        beside.setContentsMargins(0, 0, 0, 0)
        fix = problem.fix
        label = (fix.label or "Fix") if fix else ""
        notice = Notice(LEVELS[problem.level], problem.text, label)
        if fix is not None:
            notice.pressed.connect(lambda: self.session.apply(fix))
        beside.addWidget(notice, 1)
        if place := page_of(problem.where):
            show = LinkButton("Show")
            show.setAccessibleName(f"Show on the page {place}: {problem.text}")
            show.clicked.connect(lambda: self.go.emit(place))
            beside.addWidget(show)
        return line


_PLACES = (
    ("name", "Goal"),
    ("objective", "Goal"),
    ("model", "Model"),
    ("data", "Data"),
    ("adaptation", "Method"),
    ("training", "Hyperparameters"),
    ("checks", "Hyperparameters"),
)


def page_of(where: str) -> str:
    """The title of the page that answers for a recipe path; empty for none."""
    return dict(_PLACES).get(where.split(".")[0], "")


def numbers(recipe: Recipe, plan: Plan) -> Iterator[tuple[str, str]]:
    """What the run will do, in numbers."""
    if plan.settings is not None:
        steps = plan.settings
        yield "Rows", f"{plan.rows:,} to learn from, {plan.heldout:,} held out"
        batch = steps.micro_batch * steps.accumulation
        yield "Steps", f"{steps.steps:,}, {batch:,} rows each"
        share = f"{plan.trainable / plan.parameters * 100:.3g} %" if plan.parameters else "?"
        yield "Trained numbers", f"{show_count(plan.trainable)} ({share} of the model)"
        yield "Memory", f"{show_bytes(plan.needed)} of {show_bytes(plan.limit)}, {plan.device}"
        known = plan.seconds is not None
        time = f"about {show_duration(plan.seconds or 0)}" if known else "shown after a few steps"
        yield "Time", time
    yield "Output folder", str(runs_home() / f"<date>_{recipe.name}")


def choices(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What the user chose, compactly."""
    data, training, checks = recipe.data, recipe.training, recipe.checks
    yield "Name", recipe.name
    yield "Goal", ", ".join([recipe.objective.title, *_settings(recipe.objective)])
    yield "Model", recipe.model or "none"
    yield "Dataset", _file(data.path) or "none"
    share = "an automatic share of the dataset"
    if data.heldout_share is not None:
        share = f"{data.heldout_share * 100:g} % of the dataset"
    yield "Held out", _file(data.heldout) or share
    yield "Method", ", ".join([recipe.adaptation.title, *_settings(recipe.adaptation)])
    rate = _number(training.learning_rate)
    limit = f", at most {training.max_steps:,} steps" if training.max_steps else ""
    yield (
        "Training",
        (
            f"{_number(training.epochs)} epochs{limit}, learning rate {rate}, "
            f"{training.schedule} schedule, seed {training.seed}"
        ),
    )
    yield "Batch", f"{training.micro_batch:,} × {_number(training.accumulation)}"
    yield "Maximum length", f"{_number(training.max_length)} tokens"
    stop = f"after {checks.patience:,} looks without progress" if checks.patience else "never"
    yield "Stop early", stop


def _settings(chosen: Value) -> Iterator[str]:
    """Its settings; of those for experts only what differs from the usual, and no empty list."""
    for name, info in type(chosen).model_fields.items():
        value = getattr(chosen, name)
        left_alone = for_experts(info) and value == info.get_default()
        if info.title and value != () and not left_alone:
            yield f"{_lowered(info.title)} {_word(value)}"


def _lowered(title: str) -> str:
    """As within a sentence; KL and DoRA keep their letters."""
    first = title.split()[0]
    plain = not any(letter.isupper() for letter in first[1:])
    return title[:1].lower() + title[1:] if plain else title


def _number(value: float | None) -> str:
    if value is None:
        return "automatic"
    return f"{value:,}" if isinstance(value, int) else show_number(value)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " + ".join(map(_word, value))
    if isinstance(value, Value):
        return str(getattr(value, "title", value))
    return show_number(value) if isinstance(value, float) else str(value)


def _file(path: str) -> str:
    if path.startswith(SAMPLE):
        return f"{path.removeprefix(SAMPLE)} (sample)"
    return f"{Path(path).name} ({Path(path).parent})" if path else ""
