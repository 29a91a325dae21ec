"""Trial steps of a run before it starts: what they took, told and remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from core import launch
from core.describe import problem_lines
from core.errors import Problem
from core.history import preflight_sentence
from core.memory.correction import learn
from core.memory.measured import Measured
from core.pace import token_seconds
from core.plan import Facts, Plan
from core.plan_text import plan_document, plan_lines
from core.recipe import Recipe
from core.terminal import Terminal
from core.whatif import advice


class Trial(NamedTuple):
    """What trial steps say about a plan."""

    found: Measured
    text: str
    """It in a sentence."""
    seconds: float | None
    """Of the whole run."""
    hint: str
    """A way out when it does not fit."""
    odd: tuple[Problem, ...]
    """What is strange about the figures."""

    def document(self) -> dict[str, Any]:
        """The same as plain data."""
        told = {"eta_seconds": self.seconds, "text": self.text, "hint": self.hint}
        odd = [problem.model_dump(mode="json") for problem in self.odd]
        return self.found.model_dump(mode="json") | told | {"problems": odd}


def rehearse(
    chosen: Recipe, facts: Facts, plan: Plan, meanwhile: Callable[[], None] = lambda: None
) -> Trial:
    """Take trial steps on the longest and on usual rows, and remember what they took.

    `meanwhile` is called several times a second; what it raises ends the trial. Raises CoreError.
    """
    found = launch.measure(chosen, plan, meanwhile=meanwhile)
    settings, estimate = plan.settings, plan.bill
    assert facts.model is not None
    assert settings is not None
    assert estimate is not None
    expected = token_seconds(chosen, facts.model, facts.machine, settings)
    return Trial(
        found,
        preflight_sentence(found.event(settings, estimate)),
        found.eta(settings),
        "" if found.fits else advice(chosen, facts),
        learn(found, estimate, expected),
    )


def plan_measured(chosen: Recipe, facts: Facts, plan: Plan, terminal: Terminal) -> int:
    """`tunesmith plan RECIPE --measure`: the plan with measured memory and time."""
    trial = rehearse(chosen, facts, plan)
    if trial.found.fits and plan.bill:  # else the estimate is all there is
        bill = trial.found.bill(plan.bill)
        plan = plan.model_copy(update={"bill": bill, "seconds": trial.seconds})
    for line in (*plan_lines(plan), *problem_lines((*plan.problems, *trial.odd)), trial.text):
        terminal.say(line)
    if trial.hint:
        terminal.say(f"Fix: {trial.hint}")
    told = {"fits": trial.found.fits, "measured": trial.document()}
    terminal.answer(plan_document(plan) | told)
    return 0
