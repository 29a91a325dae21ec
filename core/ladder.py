"""From examples to rewards: the stages of RLHF, each set up from the one before.

Ouyang et al. 2022 (arXiv 2203.02155): imitate examples, let a person compare answers, train a
reward model on what was preferred, then train for reward.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.adapt import Adaptation, Lora
from core.answering import results
from core.errors import CoreError, RunError
from core.merging import whole_model
from core.objectives import SFT, Objective, Reward
from core.objectives.rewarded import Rewarded
from core.recipe import Recipe, parse
from core.rundir import RunDir

PREFERENCES = "*.preferences.jsonl"


class Stage(NamedTuple):
    """One step of the way."""

    title: str
    about: str


STAGES = (
    Stage(
        "Imitate examples",
        "A model that can do the task already: rewards improve answers, they do not teach a task "
        "from nothing.",
    ),
    Stage(
        "Compare answers",
        "It answers your prompts, and you say which answer is better. A few hundred judgements "
        "are a beginning; published reward models learned from tens of thousands.",
    ),
    Stage(
        "Train a reward model",
        "A copy of the model learns to give the better answer more points. How often it is right "
        "on pairs it has not seen says whether it is of use.",
    ),
    Stage(
        "Train for reward (PPO)",
        "The model writes answers and learns from their points, at a price for each step away "
        "from what it was.",
    ),
)


class Rungs(NamedTuple):
    """What there is on this computer for each stage, newest first."""

    policies: tuple[RunDir, ...]
    preferences: tuple[Path, ...]
    judges: tuple[RunDir, ...]
    outcomes: tuple[RunDir, ...]


def look(runs: Path, datasets: Path) -> Rungs:
    """Finished runs by what they were for, and files of preferences."""
    goals = list(_goals(runs))
    files = datasets.glob(PREFERENCES) if datasets.is_dir() else ()
    return Rungs(
        policies=tuple(run for run, goal in goals if isinstance(goal, SFT)),
        preferences=tuple(sorted(files, key=lambda file: -file.stat().st_mtime)),
        judges=tuple(run for run, goal in goals if isinstance(goal, Reward)),
        outcomes=tuple(run for run, goal in goals if isinstance(goal, Rewarded)),
    )


def _goals(home: Path) -> Iterator[tuple[RunDir, Objective]]:
    for run in results(home):
        try:
            yield run, run.load_recipe().objective
        except CoreError:
            continue  # a recipe of another version: the list of runs tells


def judge_recipe(policy: RunDir, preferences: Path) -> Recipe:
    """A reward model that begins as the policy. Raises RunError while that is no whole model."""
    before = policy.load_recipe()
    return _next(before, policy, "reward", {"path": str(preferences)}, {"kind": "reward"})


def rewarded_recipe(policy: RunDir, judge: RunDir) -> Recipe:
    """PPO from the policy, on its own questions, for points of the reward model. Raises RunError.

    The reward model must have begun as this policy's model, so that it reads the same tokens.
    """
    before, model = policy.load_recipe(), _whole(policy)
    judged = judge.load_recipe().model
    if Path(judged) != model:
        raise RunError(
            f"{judge.root.name} judges for another model: {judged}.",
            hint=f"Train a reward model that begins as {policy.root.name}.",
        )
    reward = {"kind": "model", "run": str(judge.root)}
    data = before.data.model_dump(mode="json") | {"template": ""}  # it is the model's own by now
    return _next(before, policy, "ppo", data, {"kind": "ppo", "rewards": [reward]})


def _next(
    before: Recipe, policy: RunDir, name: str, data: dict[str, object], objective: dict[str, object]
) -> Recipe:
    """A recipe that goes on from the policy; what was settled for it may not fit, and is not kept,
    but for the device and the seed."""
    training = before.training
    return parse(
        {
            "name": f"{before.name[:70]}-{name}",
            "model": str(_whole(policy)),
            "data": data,
            "objective": objective,
            "adaptation": _adapter(before.adaptation).model_dump(mode="json"),
            "training": {"device": training.device, "seed": training.seed},
        }
    )


def _adapter(before: Adaptation) -> Adaptation:
    """What the policy was trained with, if it is a kind of LoRA; else LoRA."""
    return before if before.kind in ("lora", "qlora") else Lora()


def _whole(policy: RunDir) -> Path:
    model = whole_model(policy)
    if model is None:
        raise RunError(
            f"The adapter of {policy.root.name} is not part of its model yet.",
            hint="`tunesmith export RUN --to merged` merges them.",
        )
    return model
