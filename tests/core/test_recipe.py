"""Recipes: edited, written with comments, read back, and refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core import recipe as recipes
from core.adapt import Full, QLora
from core.errors import RecipeError
from core.objectives import DPO
from core.places import resources
from core.recipe import Recipe, load, parse
from core.yamls import MAX_BYTES

SHIPPED = sorted((resources() / "recipes").rglob("*.yaml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load(path)
    return caught.value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "other"),
        ("training.learning_rate", 3e-4),
        ("training.max_steps", None),
        ("adaptation", {"kind": "full"}),
        ("adaptation.rank", 8),
        ("data.columns", {"prompt": "frage: die erste"}),
        ("checks.probes", ["one", "two # not a comment"]),
        ("objective.packing", "on"),
        ("objective", {"kind": "dpo", "beta": 0.3}),
        ("data.mix", [{"path": "more: rows.jsonl", "share": 0.3, "columns": {"prompt": "q"}}]),
        ("data.replay", {"path": "general.jsonl", "rows": 50}),
    ],
)
def test_an_edit_survives_the_file(tmp_path: Path, path: str, value: object) -> None:
    before = Recipe()
    after = before.edit(path, value)
    assert before == Recipe()
    assert load(write(tmp_path, after.to_yaml())) == after
    said = after.get(path)
    if path in ("data.mix", "data.replay"):
        held = said[0] if isinstance(said, tuple) else said
        assert held.model_dump(exclude_defaults=True) == (
            value[0] if isinstance(value, list) else value
        )
        return
    known = {"adaptation": Full(), "objective": DPO(beta=0.3)}
    assert said == known.get(path, tuple(value) if isinstance(value, list) else value)


def test_a_value_may_be_edited_in_whole() -> None:
    assert Recipe().edit("adaptation", QLora(rank=4)).adaptation == QLora(rank=4)


@given(
    name=st.text(min_size=1, max_size=80),
    path=st.text(max_size=60),
    rate=st.none() | st.floats(1e-9, 0.5),
)
def test_any_text_survives_yaml(name: str, path: str, rate: float | None) -> None:
    chosen = Recipe().edit("name", name).edit("data.path", path)
    chosen = chosen.edit("training.learning_rate", rate)
    assert parse(yaml.safe_load(chosen.to_yaml())) == chosen


def test_every_described_field_has_its_comment() -> None:
    lines = Recipe().to_yaml().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  rank:"))
    assert lines[at - 1].lstrip().startswith("#")
    assert "Size of the trained side matrices" in Recipe().to_yaml()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    assert load(path).name


def test_the_demo_ships() -> None:
    assert "tickets" in [path.stem for path in SHIPPED]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("learning_rate: 1", "learning_rate", "did you mean training.learning_rate?"),
        ("training: {learning_rat: 1}", "training.learning_rat", "did you mean training.learning"),
        ("adaptation: {kind: lora, ranks: 1}", "adaptation.ranks", "did you mean adaptation.rank?"),
        ("adaptation: {kind: lore}", "adaptation", "known: adalora, boft"),
        ("adaptation: {rank: 8}", "adaptation", "known: adalora, boft"),
        ("training: {learning_rate: fast}", "training.learning_rate", "not 'fast'"),
        ("training: {micro_batch: 0}", "training.micro_batch", "greater than or equal to 1"),
        ("training: {learning_rate: .nan}", "training.learning_rate", "finite number"),
        ("version: 2", "version", "not 2"),
        ("data: {replay: {paht: x}}", "data.replay.paht", "did you mean data.replay.path?"),
        ("data: {mix: [{path: x, shar: 1}]}", "data.mix.0.shar", "did you mean data.mix.0.share?"),
        ("data: {mix: [{share: 0.1}]}", "data.mix.0.path", "field required"),
        (
            "data: {mix: [{path: x, share: 0.6}], replay: {path: y, share: 0.5}}",
            "data",
            "add up to 1.1",
        ),
        ("data: 5", "data", "not 5"),
    ],
)
def test_a_fault_is_named_with_place_and_remedy(
    tmp_path: Path, text: str, where: str, words: str
) -> None:
    error = refusal(write(tmp_path, text))
    assert [problem.where for problem in error.problems] == [where]
    assert words in str(error)
    assert "recipe.yaml" in str(error)
    assert error.hint


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse({"training": {"epochs": -1, "warmup": 2}, "extra": 1})
    assert {p.where for p in caught.value.problems} == {
        "training.epochs",
        "training.warmup",
        "extra",
    }


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name: a\ntraining: [1, 2\n", ":3:1"),
        ("name: a\n  data: b\n", ":2:7"),
        ("a: 'open\n", ":2:1"),
        ("name: !!python/object/apply:os.system ['true']\n", ":1:7"),
    ],
)
def test_broken_yaml_names_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    error = refusal(write(tmp_path, text))
    assert f"recipe.yaml{place}" in str(error)
    assert error.hint


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n", "42\n"])
def test_yaml_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    assert "name: value" in str(refusal(write(tmp_path, text)))


def test_an_alias_bomb_is_refused_before_it_is_built(tmp_path: Path) -> None:
    layers = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    error = refusal(write(tmp_path, "\n".join(["l0: &l0 [x]", *layers])))
    assert "line 2: YAML aliases" in str(error)


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "#" * (MAX_BYTES + 1)))
    assert "larger than 1 MB" in str(error)


def test_deep_nesting_is_refused_in_words(tmp_path: Path) -> None:
    assert "line 1: nested too deeply" in str(refusal(write(tmp_path, "a: " + "[" * 50_000)))


@pytest.mark.parametrize("value", ["2026-06-31", "9" * 5000])
def test_values_that_yaml_cannot_make_are_refused(tmp_path: Path, value: str) -> None:
    assert "not a YAML text" in str(refusal(write(tmp_path, f"name: {value}")))


def test_keys_that_are_no_names_are_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "1: 2\n")).problems


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"name: \xff\xfe\x00")
    assert "not a YAML text" in str(refusal(path))


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "nowhere.yaml" if kind == "missing" else tmp_path
    error = refusal(path)
    assert str(path) in str(error)
    assert "tunesmith new" in error.hint


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: marked\n")
    assert load(path).name == "marked"


def test_an_edit_of_an_unknown_field_is_refused() -> None:
    with pytest.raises(RecipeError, match="unknown field"):
        Recipe().edit("training.epoch", 3)


def test_nothing_in_a_recipe_can_hold_a_secret() -> None:
    names = recipes.Recipe().to_yaml().lower()
    assert not any(word in names for word in ("password", "api_key", "secret", "hf_token"))


def test_measurements_of_written_answers_are_kept_apart() -> None:
    assert parse({}).measured_as == parse({"objective": {"kind": "dpo"}}).measured_as == "lora"
    assert parse({"objective": {"kind": "ppo"}}).measured_as == "lora, ppo"
    assert parse({"objective": {"kind": "grpo"}}).measured_as == "lora, grpo"
