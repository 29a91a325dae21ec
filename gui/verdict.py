"""A plan's verdict as the window shows it."""

from __future__ import annotations

from core.plan import Plan
from core.plan_text import verdict_line
from gui.widgets import Level

_LEVELS: dict[str, Level] = {"fits": "ok", "tight": "warn", "no": "bad"}
_METHODS = {"closed-form": "estimate", "traced": "traced", "measured": "measured"}


def judge(plan: Plan) -> tuple[Level, str]:
    """How good it is, and the sentence."""
    if plan.bill is None:
        return "note", "Choose a model first; then the bill is worked out."
    return level(plan.fit), verdict_line(plan)


def level(fit: str | None) -> Level:
    """The colour of a verdict."""
    return _LEVELS[fit] if fit else "note"


def method(plan: Plan) -> str:
    """Where the figures are from."""
    return _METHODS[plan.bill.method] if plan.bill else "estimate"
