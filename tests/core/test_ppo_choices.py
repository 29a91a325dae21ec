"""What a plan says about PPO: steps, memory, and choices that do not go together."""

from __future__ import annotations

import pytest

from core.errors import Problem, RecipeError
from core.plan import make_plan
from core.recipe import Recipe, parse
from tests.core.test_plan import CHOSEN, DATA, facts, fixed

KNOWN = facts(data=DATA.model_copy(update={"format": "prompts"}))


def recipe(**changes: object) -> Recipe:
    return CHOSEN.edit("objective", {"kind": "ppo", **changes})


def problems(chosen: Recipe) -> dict[str, Problem]:
    found = make_plan(chosen, KNOWN).problems
    return {problem.where: problem for problem in found if problem.where.startswith("objective.")}


def test_the_usual_choices_are_no_problem() -> None:
    plan = make_plan(recipe(), KNOWN)
    assert plan.problems == ()
    assert plan.ready


@pytest.mark.parametrize(
    ("changes", "where", "level"),
    [
        ({"kl_coefficient": 0}, "objective.kl_coefficient", "warning"),
        ({"kl_coefficient": 0, "kl": "adaptive"}, "objective.kl_coefficient", "blocker"),
        ({"longest_answer": 4096}, "objective.longest_answer", "blocker"),
    ],
)
def test_what_does_not_go_together(changes: dict[str, object], where: str, level: str) -> None:
    chosen = recipe(**changes)
    problem = problems(chosen)[where]
    assert problem.level == level
    assert where not in problems(fixed(chosen, problem))


def test_a_few_answers_cannot_be_compared() -> None:
    chosen = recipe().edit("training.micro_batch", 2)
    problem = problems(chosen)["objective.minibatches"]
    assert "only 2 answers" in problem.text
    assert problems(fixed(chosen, problem)) == {}


def test_every_epoch_of_a_rollout_is_a_step_more() -> None:
    once, thrice = (make_plan(recipe(epochs_per_batch=times), KNOWN).settings for times in (1, 3))
    assert once is not None
    assert thrice is not None
    assert thrice.steps == 3 * once.steps


def test_nobody_guesses_how_long_answers_take() -> None:
    assert make_plan(CHOSEN, KNOWN).seconds is not None
    assert make_plan(recipe(), KNOWN).seconds is None


def test_answers_take_memory_too() -> None:
    short, long = (make_plan(recipe(longest_answer=size), KNOWN).needed for size in (16, 2048))
    assert short < long


def test_a_coefficient_below_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="kl_coefficient"):
        parse({"objective": {"kind": "ppo", "kl_coefficient": -1}})
