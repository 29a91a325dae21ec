"""Before a run: does it fit, and how long will it take? Asked of an engine process of its own."""

from __future__ import annotations

from pathlib import Path

from core import asking, models
from core.dataset import inspect_data
from core.engine.emit import Voice
from core.engine.wishes import Wishes
from core.errors import CoreError, RunError
from core.machine import read_machine
from core.memory import correction
from core.pace import token_seconds
from core.plan import Facts, Plan
from core.recipe import Recipe
from core.rundir import RunDir
from core.whatif import advice


def preflight(run: RunDir, voice: Voice, wishes: Wishes) -> None:
    """Take trial steps if the plan says so. Raises RunError when they do not fit, Stopped.

    A measurement that fails for another reason is told and does not keep the run from trying.
    """
    plan, recipe = Plan.model_validate_json(run.plan_file.read_bytes()), run.load_recipe()
    if plan.settings is None or not plan.measure:
        return
    voice.phase("measuring")
    try:
        found = asking.measure(recipe, plan.settings, meanwhile=wishes.look)
    except CoreError as error:
        voice.warn("not-measured", f"Memory and time could not be measured: {error}", error.hint)
        return
    voice.say(found.event(plan.settings, plan.bill))
    if not found.fits:
        raise RunError(
            f"{found.failure} This run does not fit; nothing was trained.",
            hint=way_out(recipe) or found.hint,
        )
    if plan.bill is not None:
        model = models.look(models.resolve(recipe.model))
        expected = token_seconds(recipe, model, read_machine(), plan.settings)
        for problem in correction.learn(found, plan.bill, expected):
            voice.warn("estimate-off", problem.text)


def way_out(recipe: Recipe) -> str:
    """Changes that need less memory; empty when none can be found."""
    try:
        facts = Facts(
            machine=read_machine(),
            model=models.look(models.resolve(recipe.model)),
            data=inspect_data(
                Path(recipe.data.path), format=recipe.data.format, columns=recipe.data.columns
            ),
        )
    except CoreError:
        return ""
    return advice(recipe, facts)
