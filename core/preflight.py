"""`tunesmith plan RECIPE --measure`: a plan whose memory and time were measured, not estimated."""

from __future__ import annotations

from core import launch
from core.describe import problem_lines
from core.draft import Settings
from core.errors import Problem
from core.history import preflight_sentence
from core.memory import Bill
from core.memory.correction import learn
from core.memory.measured import Measured
from core.pace import token_seconds
from core.plan import Facts, Plan
from core.plan_text import plan_document, plan_lines
from core.recipe import Recipe
from core.terminal import Terminal
from core.whatif import advice


def plan_measured(chosen: Recipe, facts: Facts, plan: Plan, terminal: Terminal) -> int:
    """Take trial steps, tell them beside the plan, and remember them. Raises CoreError."""
    found = launch.measure(chosen, plan)
    settings, estimate = plan.settings, plan.bill
    assert settings is not None
    assert estimate is not None
    told, eta = preflight_sentence(found.event(settings, estimate)), found.eta(settings)
    odd = _learn(chosen, facts, settings, estimate, found)
    hint = "" if found.fits else advice(chosen, facts)
    if found.fits:  # else the estimate is all there is
        plan = plan.model_copy(update={"bill": found.bill(estimate), "seconds": eta})
    for line in (*plan_lines(plan), *problem_lines((*plan.problems, *odd)), told):
        terminal.say(line)
    if hint:
        terminal.say(f"Fix: {hint}")
    measured = found.model_dump(mode="json") | {"eta_seconds": eta, "text": told}
    measured |= {"hint": hint, "problems": [p.model_dump(mode="json") for p in odd]}
    terminal.answer(plan_document(plan) | {"fits": found.fits, "measured": measured})
    return 0


def _learn(
    chosen: Recipe, facts: Facts, settings: Settings, estimate: Bill, found: Measured
) -> tuple[Problem, ...]:
    assert facts.model is not None
    expected = token_seconds(chosen, facts.model, facts.machine, settings)
    return learn(found, estimate, expected)
