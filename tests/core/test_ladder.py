"""From examples to rewards: what there is for each stage, and how the next one is set up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import ladder
from core.errors import RunError
from core.merging import mergeable, whole_model
from core.recipe import parse
from core.rundir import RunDir


def made(root: Path, result: str, **raw: Any) -> RunDir:
    """A run that has made something."""
    run = RunDir.create(root, parse({"name": root.name, **raw}), "{}")
    (run.root / result).mkdir(parents=True)
    return run


@pytest.fixture
def policy(tmp_path: Path) -> RunDir:
    adaptation = {"kind": "lora", "rank": 4}
    data = {"path": "sample:tickets.jsonl"}
    training = {"device": "cpu", "learning_rate": 0.005, "max_steps": 9}
    return made(
        tmp_path / "runs" / "a-policy", "adapter", adaptation=adaptation, data=data,
        training=training,
    )  # fmt: skip


def test_what_there_is_is_told_by_what_it_was_for(tmp_path: Path, policy: RunDir) -> None:
    judge = made(tmp_path / "runs" / "judge", "adapter", objective={"kind": "reward"})
    outcome = made(tmp_path / "runs" / "outcome", "adapter", objective={"kind": "ppo"})
    made(tmp_path / "runs" / "prefers", "adapter", objective={"kind": "dpo"})
    unfinished = RunDir.create(tmp_path / "runs" / "unfinished", parse({}), "{}")
    (tmp_path / "datasets").mkdir()
    file = tmp_path / "datasets" / "mine.preferences.jsonl"
    file.touch()
    (tmp_path / "datasets" / "other.jsonl").touch()
    found = ladder.look(tmp_path / "runs", tmp_path / "datasets")
    assert found == ((policy,), (file,), (judge,), (outcome,))
    assert unfinished not in found.policies


def test_a_new_home_has_nothing(tmp_path: Path) -> None:
    assert ladder.look(tmp_path / "runs", tmp_path / "datasets") == ((), (), (), ())


def test_an_adapter_has_to_become_part_of_its_model_first(policy: RunDir) -> None:
    with pytest.raises(RunError, match="not part of its model yet"):
        ladder.judge_recipe(policy, Path("some.preferences.jsonl"))
    assert mergeable(policy).out == policy.merged


def test_each_stage_is_set_up_from_the_one_before(tmp_path: Path, policy: RunDir) -> None:
    policy.merged.mkdir(parents=True)
    model = str(whole_model(policy))
    recipe = ladder.judge_recipe(policy, tmp_path / "mine.preferences.jsonl")
    assert (recipe.model, recipe.objective.kind) == (model, "reward")
    assert recipe.data.path == str(tmp_path / "mine.preferences.jsonl")
    assert recipe.adaptation == policy.load_recipe().adaptation
    assert recipe.training.device == "cpu"
    assert recipe.training.learning_rate is None, "what was set for the policy does not fit"
    assert recipe.training.max_steps is None

    judge = made(tmp_path / "runs" / "judge", "adapter", **recipe.model_dump(exclude={"name"}))
    last = ladder.rewarded_recipe(policy, judge)
    assert (last.model, last.objective.kind) == (model, "ppo")
    assert last.data.path == "sample:tickets.jsonl"
    (reward,) = last.objective.rewards  # type: ignore[attr-defined]
    assert (reward.kind, reward.run) == ("model", str(judge.root))


def test_a_judge_of_another_model_is_refused(tmp_path: Path, policy: RunDir) -> None:
    policy.merged.mkdir(parents=True)
    judge = made(tmp_path / "runs" / "judge", "adapter", objective={"kind": "reward"})
    with pytest.raises(RunError, match="judges for another model"):
        ladder.rewarded_recipe(policy, judge)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"adaptation": {"kind": "prompt"}}, "cannot become part of the weights"),
        ({"objective": {"kind": "reward"}}, "judges answers and writes none"),
    ],
)
def test_what_cannot_be_merged_says_why(tmp_path: Path, raw: dict[str, Any], reason: str) -> None:
    with pytest.raises(RunError, match=reason):
        mergeable(made(tmp_path / "runs" / "one", "adapter", **raw))
