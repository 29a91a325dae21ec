"""Several datasets as one: shares kept, nothing repeated, everything recorded."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from core import commands, mixing
from core.errors import DataError
from core.machine import Machine
from core.models import look
from core.places import starter
from core.plan import Facts, Plan, make_plan
from core.plan_text import plan_lines
from core.recipe import Recipe, parse

GB = 10**9
MACHINE = Machine(system="Linux", cores=4, memory=16 * GB, memory_free=8 * GB, disk_free=99 * GB)


def alpaca(path: Path, count: int, word: str = "own") -> Path:
    rows = [{"instruction": f"{word} {n}?", "output": f"answer {n}"} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def chat(path: Path, count: int) -> Path:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"chat {n}?"},
                {"role": "assistant", "content": f"reply {n}"},
            ]
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """90 rows to learn from, of which two further datasets give a half and a tenth of the whole."""
    own = alpaca(tmp_path / "own.jsonl", 100)
    other = chat(tmp_path / "chat.jsonl", 300)
    general = alpaca(tmp_path / "general.jsonl", 80, "general")
    return parse(
        {
            "data": {
                "path": str(own),
                "heldout_share": 0.1,
                "mix": [{"path": str(other), "share": 0.5}],
                "replay": {"path": str(general), "share": 0.1},
            }
        }
    )


def said(examples: list[mixing.Example]) -> list[str]:
    return [example.messages[0]["content"] for example in examples]


def planned(recipe: Recipe) -> Plan:
    facts = Facts(machine=MACHINE, model=look(starter()), **dict(mixing.look(recipe.data)))
    return make_plan(recipe, facts)


def test_every_dataset_gives_its_share_and_no_row_twice(recipe: Recipe) -> None:
    made = mixing.read(recipe)
    asked = said(made.train)
    # 90 rows are four tenths of the whole, so the whole is 225
    assert Counter(question.split()[0] for question in asked) == {
        "own": 90,
        "chat": 112,
        "general": 22,
    }
    assert len(set(asked)) == len(asked)
    assert made.drawn == {"mix.0": 112, "replay": 22}


def test_what_is_held_out_is_of_the_first_dataset_alone(recipe: Recipe) -> None:
    made = mixing.read(recipe)
    assert len(made.heldout) == 10
    assert all(question.startswith("own") for question in said(made.heldout))
    assert not set(said(made.heldout)) & set(said(made.train))


def test_the_same_seed_draws_the_same_rows(recipe: Recipe) -> None:
    assert mixing.read(recipe).train == mixing.read(recipe).train
    other = mixing.read(recipe.edit("training.seed", 1)).train
    assert said(other)[90:] != said(mixing.read(recipe).train)[90:]


def test_the_order_of_lines_does_not_decide_what_is_drawn(recipe: Recipe) -> None:
    drawn = set(said(mixing.read(recipe).train)[90:])
    path = Path(recipe.data.mix[0].path)
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert set(said(mixing.read(recipe).train)[90:]) == drawn


def test_a_number_of_rows_may_be_asked_for(recipe: Recipe) -> None:
    chosen = recipe.edit("data.mix", [{"path": recipe.data.mix[0].path, "rows": 9}])
    # 90 and 9 rows are nine tenths of the whole
    assert mixing.read(chosen).drawn == {"mix.0": 9, "replay": 11}


def test_a_dataset_too_small_for_its_share_is_told_and_not_repeated(recipe: Recipe) -> None:
    chosen = recipe.edit("data.replay.share", 0.3)
    made = mixing.read(chosen)
    assert made.drawn["replay"] == 80
    [finding] = [found for found in made.findings if found.code == "too_few_rows"]
    assert "data.replay (general.jsonl) should give 135 rows and has 80" in finding.text
    assert "all it has; asked for: 30 % of the whole" in planned(chosen).sources[-1].because
    assert ("data.replay.share", finding.text) in [
        (p.where, p.text) for p in planned(chosen).problems
    ]


def test_the_plan_records_hashes_and_the_very_rows_that_are_drawn(recipe: Recipe) -> None:
    plan = planned(recipe)
    sources = {source.where: source for source in plan.sources}
    assert list(sources) == ["path", "mix.0", "replay"]
    for source in sources.values():
        assert source.digest == hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
    made = mixing.read(recipe)
    assert {where: sources[where].drawn for where in made.drawn} == made.drawn
    assert plan.rows == len(made.train)
    assert plan.heldout == len(made.heldout)
    assert Plan.model_validate_json(plan.model_dump_json()).sources == plan.sources
    lines = "\n".join(plan_lines(plan))
    assert "chat.jsonl" in lines
    assert "112 of 300 rows" in lines
    assert "does not forget" in lines


def test_one_dataset_alone_is_recorded_too(recipe: Recipe) -> None:
    plan = planned(recipe.edit("data", {"path": recipe.data.path}))
    assert [(source.where, source.drawn) for source in plan.sources] == [("path", 90)]
    assert "Datasets:" not in "\n".join(plan_lines(plan))


def test_a_held_out_file_leaves_the_first_dataset_whole(recipe: Recipe, tmp_path: Path) -> None:
    kept = alpaca(tmp_path / "kept.jsonl", 7, "kept")
    chosen = recipe.edit("data.heldout", str(kept))
    made = mixing.read(chosen)
    assert len(made.heldout) == 7
    assert [s.drawn for s in planned(chosen).sources] == [100, 7, 125, 25]


def test_held_out_questions_in_a_further_dataset_are_told(recipe: Recipe, tmp_path: Path) -> None:
    leak = alpaca(tmp_path / "leak.jsonl", 100)
    made = mixing.read(recipe.edit("data.mix", [{"path": str(leak), "share": 0.45}]))
    assert "overlap" in [finding.code for finding in made.findings]


@pytest.mark.parametrize("where", ["mix.0", "replay"])
def test_a_wrong_path_names_the_dataset(recipe: Recipe, where: str) -> None:
    source = {"path": "nowhere.jsonl", "share": 0.1}
    place, value = ("data.mix", [source]) if where == "mix.0" else ("data.replay", source)
    chosen = recipe.edit(place, value)
    for attempt in (lambda: mixing.look(chosen.data), lambda: mixing.read(chosen)):
        with pytest.raises(DataError, match=rf"data\.{where}: There is no file .*nowhere\.jsonl"):
            attempt()


def test_a_further_dataset_of_the_wrong_kind_blocks_the_start(
    recipe: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"prompt": "a?", "chosen": "b", "rejected": "c"}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    plan = planned(recipe.edit("data.mix", [{"path": str(path), "rows": 1}]))
    assert "data.mix.0.format" in [problem.where for problem in plan.blockers]


def test_relative_paths_start_at_the_recipes_folder(recipe: Recipe, tmp_path: Path) -> None:
    near = recipe.edit("data.mix", [{"path": "chat.jsonl"}]).edit("data.replay.path", "g.jsonl")
    (tmp_path / "recipe.yaml").write_text(near.to_yaml(), encoding="utf-8")
    data = commands.load(tmp_path / "recipe.yaml").data
    assert data.mix[0].path == str(tmp_path / "chat.jsonl")
    assert data.replay.path == str(tmp_path / "g.jsonl")
