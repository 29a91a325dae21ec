"""The window's one piece of state: a valid recipe, what is known of the world, and the plan."""

from __future__ import annotations

import contextlib
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from core import dataset, launch, mixing
from core.catalog import Gpu, look
from core.data_choices import Data
from core.errors import CoreError, Edit, ModelError, Problem, RecipeError
from core.exact import trace
from core.hub_spec import located
from core.machine import Machine
from core.memory.correction import recall
from core.memory.traced import Exact, Request
from core.offers import planned_for
from core.plan import Facts, Plan, make_plan
from core.reading import STREAMED, kind_of
from core.recipe import Recipe
from core.settle import setup_of
from core.tokens import Preview
from gui.background import Task
from gui.errand import Errand

UNDO_STEPS = 200
LARGE = 20_000_000
"""Bytes of a dataset from which on its first rows are shown before all are read."""
_WORST_FIRST = ("blocker", "warning", "tip")


class Session(QObject):
    """Pages hold no state: they show `recipe`, `facts` and `plan`, and call `edit`."""

    changed = Signal(object)
    """The recipe changed (Recipe)."""
    planned = Signal(object)
    """The plan changed (Plan); follows every change of recipe or facts."""
    refused = Signal(str, str)
    """An edit was not valid: dotted path, reason."""
    trouble = Signal(str, object)
    """A model or dataset cannot be used: "model" or "data", CoreError or None when it is fine."""
    previewed = Signal(object)
    """Rows as the model will see them (Preview), or a CoreError."""
    untraced = Signal(object)
    """The step could not be traced (CoreError)."""

    def __init__(self, machine: Machine, recipe: Recipe, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.recipe = recipe
        self.machine = machine
        self.facts = Facts(machine=machine, corrections=recall(machine))
        self.plan: Plan = make_plan(recipe, self.facts)
        self.preview: Preview | CoreError | None = None
        self.troubles: dict[str, CoreError] = {}
        self._undo: list[Recipe] = []
        self._redo: list[Recipe] = []
        self._tasks: dict[str, Task] = {}
        self.reader = Errand(self)
        self._counting = QTimer(self, singleShot=True, interval=400)
        self._counting.timeout.connect(self._count)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The plan's problems, the worst first; a file that cannot be used says why instead."""
        said = [
            Problem(level="blocker", where=what, text=f"{error} {error.hint}".strip())
            for what, error in self.troubles.items()
        ]
        rest = [
            problem
            for problem in self.plan.problems
            if problem.level != "blocker" or problem.where.split(".")[0] not in self.troubles
        ]
        return (*said, *sorted(rest, key=lambda problem: _WORST_FIRST.index(problem.level)))

    def begin(self) -> None:
        """Look at the model and the data of the first recipe."""
        self._look_at_model()
        self._look_at_data()
        self._replan()

    def edit(self, path: str, value: Any) -> bool:
        """Replace one field; an invalid value is refused and nothing changes."""
        try:
            recipe = self.recipe.edit(path, value)
        except RecipeError as error:
            self.refused.emit(path, error.problems[0].text)
            return False
        self.replace(recipe)
        return True

    def use_data(self, path: str, heldout: str = "") -> bool:
        """Take another dataset; how the old one was read and what was kept from it is dropped."""
        kept = self.recipe.data.model_copy(
            update={"path": path, "heldout": heldout, "format": "auto", "columns": {}}
        )
        return self.edit("data", kept)

    def apply(self, fix: Edit) -> bool:
        """Press a fix button."""
        return self.edit(fix.path, fix.value)

    def replace(self, recipe: Recipe) -> None:
        """Take a whole recipe, undoably."""
        if recipe == self.recipe:
            return
        self._undo = [*self._undo[-UNDO_STEPS:], self.recipe]
        self._redo.clear()
        self._take(recipe)

    def undo(self) -> None:
        """Back to the recipe before the last change."""
        if self._undo:
            self._redo.append(self.recipe)
            self._take(self._undo.pop())

    def redo(self) -> None:
        """Forward again."""
        if self._redo:
            self._undo.append(self.recipe)
            self._take(self._redo.pop())

    def _take(self, recipe: Recipe) -> None:
        before, self.recipe = self.recipe, recipe
        if recipe.model != before.model:
            self._look_at_model()
        if _read_by(recipe) != _read_by(before):
            self._look_at_data()
        elif _counted_by(recipe) != _counted_by(before):
            self._recount()
        self.changed.emit(recipe)
        self._replan()

    def _replan(self) -> None:
        self.plan = make_plan(self.recipe, self.facts)
        self.planned.emit(self.plan)

    def look_again(self) -> None:
        """Something outside changed, for instance a download finished."""
        self._look_at_model()
        self._replan()

    def plan_for(self, gpu: Gpu | None) -> None:
        """Plan for a GPU that is not here; None plans for this computer again."""
        machine = planned_for(self.machine, gpu) if gpu else self.machine
        self.facts = self.facts.model_copy(update={"machine": machine})
        self._replan()

    @property
    def tracing(self) -> bool:
        """Whether a step is being traced right now."""
        return "trace" in self._tasks

    def trace(self) -> None:
        """Trace the step of the recipe as it is now; the plan takes the figures over."""
        model, adaptation = self.facts.model, self.recipe.adaptation
        if model is None:
            return
        setup = setup_of(self.recipe, self.facts)
        request = Request(model=model.path, adaptation=adaptation, setup=setup)
        task = Task(self, lambda: Exact(request=request, found=trace(model, adaptation, setup)))
        self._forget("trace")
        self._tasks["trace"] = task.then(self._traced).failed(self._untraced).start()
        self._replan()

    def _traced(self, exact: Exact) -> None:
        self._tasks.pop("trace", None)
        self.facts = self.facts.model_copy(update={"exact": exact})
        self._replan()

    def _untraced(self, error: CoreError) -> None:
        self._tasks.pop("trace", None)
        self.untraced.emit(error)
        self._replan()

    def learned(self) -> None:
        """Something was measured: estimates are corrected by it from now on."""
        self.facts = self.facts.model_copy(update={"corrections": recall(self.machine)})
        self._replan()

    def read_again(self) -> None:
        """The dataset's files are not what they were."""
        self._look_at_data()
        self._replan()

    def _look_at_model(self) -> None:
        """Reading headers takes milliseconds, so this needs no background."""
        self.facts = self.facts.model_copy(update={"model": None, "tokens": None})
        self._say("model", None)
        try:
            if self.recipe.model:
                facts = look(self.recipe.model)
                self.facts = self.facts.model_copy(update={"model": facts})
        except ModelError as error:
            self._say("model", error)
        self._recount()

    def _look_at_data(self) -> None:
        self.facts = self.facts.model_copy(update=dict(mixing.Looked()))
        self._say("data", None)
        self._recount()
        data = self.recipe.data
        self.reader.stop()
        if not data.path:
            return
        self._glance(data)
        self.reader.begin(lambda heed: mixing.look(data, heed), self._data_known, self._data_bad)

    def _glance(self, data: Data) -> None:
        """Show the first rows of a large file, which takes milliseconds, while the rest is read."""
        with contextlib.suppress(CoreError, OSError):  # reading on will say what is wrong
            path = located(data.path)
            if kind_of(path) in STREAMED and path.stat().st_size > LARGE:
                first = dataset.glance(path, format=data.format, columns=data.columns)
                self.facts = self.facts.model_copy(update={"data": first})

    def _data_known(self, found: mixing.Looked) -> None:
        self.facts = self.facts.model_copy(update=dict(found))
        self._say("data", None)
        self._recount()
        self._replan()

    def _data_bad(self, error: CoreError) -> None:
        self.facts = self.facts.model_copy(update=dict(mixing.Looked()))
        self._say("data", error)
        self._replan()

    @property
    def reading(self) -> bool:
        """Whether the dataset is being read right now."""
        return self.reader.busy

    @property
    def counting(self) -> bool:
        """Whether the engine is counting tokens right now, or about to."""
        return "count" in self._tasks or self._counting.isActive()

    def _recount(self) -> None:
        """What was counted no longer holds; count again as soon as model and data are known."""
        self.facts = self.facts.model_copy(update={"tokens": None})
        self.preview = None
        self._forget("count")
        self._counting.stop()
        data = self.facts.data
        if self.facts.model and self.facts.model.here and data and data.whole:
            self._counting.start()

    def _count(self) -> None:
        recipe = self.recipe
        task = Task(self, lambda: launch.preview(recipe))
        self._tasks["count"] = task.then(self._counted).failed(self._uncounted).start()

    def _counted(self, preview: Preview) -> None:
        self._tasks.pop("count", None)
        self.preview = preview
        self.facts = self.facts.model_copy(update={"tokens": preview.tokens})
        self.previewed.emit(preview)
        self._replan()

    def _uncounted(self, error: CoreError) -> None:
        self._tasks.pop("count", None)
        self.preview = error
        self.previewed.emit(error)

    def _forget(self, name: str) -> None:
        if task := self._tasks.pop(name, None):
            task.forget()

    def _say(self, what: str, error: CoreError | None) -> None:
        if error is None:
            self.troubles.pop(what, None)
        else:
            self.troubles[what] = error
        self.trouble.emit(what, error)


def _read_by(recipe: Recipe) -> Data:
    """What decides how the files are read."""
    return recipe.data.model_copy(update={"heldout_share": 0.0, "template": ""})


def _counted_by(recipe: Recipe) -> tuple[object, ...]:
    """What decides the counts besides model and data: where rows are cut, which are held out, and
    what of a row the model is to read."""
    training, data, goal = recipe.training, recipe.data, recipe.objective
    cut = training.max_length, training.seed, data.heldout_share, data.template
    return *cut, goal.chats, goal.room, goal.compares
