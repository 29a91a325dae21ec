"""What answers are worth, one reward after the other."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from core.errors import RecipeError
from core.recipe import Recipe, parse
from core.rewards import AnyReward, Contains, Exact, JsonSchema, Length, Pure, Regex, names_of

ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyReward)
SHAPE = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "kind": {"enum": ["a", "b"]},
        "sure": {"const": True},
    },
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("reward", "answer", "worth"),
    [
        (Exact(), " 4\n", 1),
        (Exact(), "44", 0),
        (Exact(), "", 0),
        (Exact(ignore_case=True), "4", 1),
        (Contains(), "It is 4.", 1),
        (Contains(), "It is five.", 0),
        (Contains(text="Sorry", ignore_case=False), "sorry", 0),
        (Contains(text="Sorry"), "so sorry", 1),
        (Regex(pattern=r"^\d$"), "4", 1),
        (Regex(pattern=r"^\d$"), "It is 4", 0),
        (Length(least=2, most=4), "one two three", 1),
        (Length(least=2, most=4), "one", 0.5),
        (Length(least=2, most=4), "", 0),
        (Length(most=4), " ".join("abcdefgh"), 0.5),
    ],
)
def test_answers_of_four_are_worth(reward: Pure, answer: str, worth: float) -> None:
    assert reward.score([{"role": "user", "content": "2 + 2?"}], answer, "4") == worth


def test_case_counts_unless_it_is_ignored() -> None:
    assert Exact().score([], "YES", "yes") == 0
    assert Exact(ignore_case=True).score([], "STRASSE", "Straße") == 1


@pytest.mark.parametrize(
    ("answer", "worth"),
    [
        ('{"n": 1}', 1),
        ('{"n": 2.0, "tags": ["abc", "d"], "kind": "b", "sure": true}', 1),
        ('{"n": 0}', 0),
        ('{"n": true}', 0),
        ('{"n": 1.5}', 0),
        ('{"n": 1, "sure": 1}', 0),
        ('{"n": 1, "kind": "c"}', 0),
        ('{"n": 1, "tags": ["long"]}', 0),
        ('{"n": 1, "tags": ["a", "b", "c"]}', 0),
        ('{"n": 1, "more": 1}', 0),
        ("{}", 0),
        ("[1]", 0),
        ('Here: {"n": 1}', 0),
        ('{"n": NaN}', 0),
        ("[" * 100_000, 0),
    ],
)
def test_json_of_a_shape(answer: str, worth: float) -> None:
    assert JsonSchema(shape=SHAPE).score([], answer, "") == worth


def test_any_json_without_a_schema() -> None:
    assert JsonSchema().score([], "[1, null]", "") == 1
    assert JsonSchema().score([], "Infinity", "") == 0


@pytest.mark.parametrize(
    "shape",
    [
        {"pattern": "a"},
        {"properties": {"a": {"oneOf": []}}},
        {"items": {"$ref": "#"}},
        {"type": "text"},
        {"required": "a"},
        {"minimum": "1"},
    ],
)
def test_a_schema_that_would_be_half_checked_is_refused(shape: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="check"):
        JsonSchema(shape=shape)


def test_a_pattern_that_does_not_compile_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="no regular expression: missing \\)"):
        Regex(pattern="(")


@pytest.mark.parametrize(
    "raw",
    [
        {"kind": "exact", "weight": float("nan")},
        {"kind": "length", "least": 5, "most": 4},
        {"kind": "python", "path": "a.py", "consent": "yes"},
        {"kind": "model"},
        {"kind": "luck"},
    ],
)
def test_what_cannot_be_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(raw)


def test_rewards_of_one_kind_have_numbers() -> None:
    given = (Exact(), Regex(pattern="a"), Regex(pattern="b"))
    assert names_of(given) == ("exact", "regex-1", "regex-2")


def test_a_recipe_writes_and_reads_its_rewards() -> None:
    given = (Exact(weight=2), Regex(pattern=r"^\s*{.*: 1}$"), JsonSchema(shape=SHAPE))
    recipe = Recipe().edit("objective", {"kind": "grpo"}).edit("objective.rewards", given)
    assert parse(yaml.safe_load(recipe.to_yaml())) == recipe
    assert recipe.get("objective.rewards") == given


@pytest.mark.parametrize(
    ("entry", "where", "told"),
    [
        ({"kind": "luck"}, "objective.rewards.0", "known: exact, contains, regex"),
        ({"kind": "regex", "pattern": "("}, "objective.rewards.0.pattern", "no regular expression"),
        ({"kind": "exact", "wieght": 1}, "objective.rewards.0.wieght", "did you mean"),
    ],
)
def test_a_wrong_reward_is_named(entry: dict[str, Any], where: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe().edit("objective", {"kind": "rloo", "rewards": [entry]})
    (problem,) = caught.value.problems
    assert problem.where == where
    assert told in problem.text


def test_without_a_reward_there_is_nothing_to_learn() -> None:
    with pytest.raises(RecipeError, match="1 to 20 rewards are needed"):
        Recipe().edit("objective", {"kind": "grpo", "rewards": []})
