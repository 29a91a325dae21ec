"""What does not go with rewards: batches of broken groups, files without consent."""

from __future__ import annotations

import math
from collections.abc import Iterator

from core.draft import Draft, Facts, Settings
from core.errors import Edit, Problem
from core.misfits.base import blocker
from core.objectives.rewarded import Grouped, Rewarded
from core.places import expand
from core.recipe import Recipe
from core.rewards import Model, Python
from core.rewards.judged import fingerprint


def of_rollouts(recipe: Recipe, _facts: Facts, plan: Draft) -> Iterator[Problem]:
    """Rewards that cannot be given, and batches that answers do not fill."""
    goal = recipe.objective
    if not isinstance(goal, Rewarded):
        return
    for place, reward in enumerate(goal.rewards):
        if isinstance(reward, Python):
            yield from _own_file(goal, place, reward)
        elif isinstance(reward, Model) and not expand(reward.run).is_dir():
            yield blocker(
                "objective.rewards", f"There is no run of a reward model in {reward.run}."
            )
    if plan.settings is None:
        return
    yield from _room(goal, plan.settings)
    if isinstance(goal, Grouped):
        yield from _groups(goal, plan.settings, plan.rows)


def _own_file(goal: Rewarded, place: int, reward: Python) -> Iterator[Problem]:
    try:
        found = fingerprint(reward.source())
    except OSError as error:
        text = f"The reward file {reward.path} cannot be read: {error.strerror}."
        yield blocker("objective.rewards", text)
        return
    if found == reward.consent:
        return
    rewards = [each.model_dump(mode="json") for each in goal.rewards]
    rewards[place]["consent"] = found
    why = "has changed since you consented to it" if reward.consent else "needs your consent"
    yield blocker(
        "objective.rewards",
        f"{reward.path} {why}: it runs as a program with your rights. Read it first.",
        Edit(path="objective.rewards", value=rewards, label="I have read it; it may run"),
    )


def _room(goal: Rewarded, settings: Settings) -> Iterator[Problem]:
    if goal.longest_answer < settings.max_length:
        return
    half = max(1, settings.max_length // 2)
    yield blocker(
        "objective.longest_answer",
        f"An answer of {goal.longest_answer:,} tokens leaves no room for a question within "
        f"{settings.max_length:,}.",
        Edit(path="objective.longest_answer", value=half, label=f"Use {half:,}"),
    )


def _groups(goal: Grouped, settings: Settings, rows: int) -> Iterator[Problem]:
    whole, group = settings.micro_batch * settings.accumulation, goal.answers_per_prompt
    if whole % group:
        times = group // math.gcd(settings.micro_batch, group)
        better = math.ceil(settings.accumulation / times) * times
        yield blocker(
            "training.accumulation",
            f"{whole:,} answers at a time are no whole groups of {group:,} answers to one "
            "question.",
            Edit(path="training.accumulation", value=better, label=f"Accumulation {better:,}"),
        )
    elif rows and whole // group > rows:
        fewer = Edit(path="training.accumulation", value=None, label="Choose automatically")
        yield blocker(
            "training.accumulation",
            f"{whole:,} answers at a time need {whole // group:,} questions; there are {rows:,}.",
            fewer,
        )
