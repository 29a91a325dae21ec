"""A run goes on only with what it was made of; what may differ is told."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core import durable
from core.engine import origin
from core.engine.__main__ import run as engine
from core.errors import RunError
from core.events import Event, Step, Warned
from core.manifest import manifest_of
from core.mixing import Drawn
from core.places import starter
from core.recipe import Recipe
from core.resuming import doubt
from core.rundir import RunDir
from tests.engine.conftest import create, go, plan_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


def looked(recipe: Recipe, model: Path | None = None) -> dict[str, Any]:
    settings = plan_of(recipe).settings
    assert settings is not None
    return origin.look(recipe, settings, {"path": "0a"}, model or starter())


def test_the_same_is_the_same_also_through_the_manifest(recipe: Recipe) -> None:
    now = looked(recipe)
    then = json.loads(json.dumps(now))
    assert origin.compare(then, now, 5) == []
    assert origin.compare({}, now, 5) == [], "of a version that kept none of this"
    assert now["effective_batch"] == 8


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("training.learning_rate", 0.1, "training.learning_rate was changed from 0.001 to 0.1"),
        ("training.micro_batch", 8, "training.micro_batch was changed from 4 to 8"),
        ("training.seed", 1, "training.seed was changed from 0 to 1"),
        ("objective.packing", True, "objective.packing was changed from"),
        ("adaptation.rank", 4, "adaptation.rank was changed from"),
        ("data.heldout_share", 0.5, "data.heldout_share was changed from 0.2 to 0.5"),
    ],
)
def test_another_training_is_refused_by_name(
    recipe: Recipe, path: str, value: Any, words: str
) -> None:
    with pytest.raises(RunError, match=f"Since step 5 was saved, .*{words}") as refused:
        origin.compare(looked(recipe), looked(recipe.edit(path, value)), 5)
    assert "start a new run" in refused.value.hint


def test_names_and_places_may_change(recipe: Recipe, tmp_path: Path) -> None:
    moved = shutil.copy(recipe.data.path, tmp_path)
    other = recipe.edit("name", "other").edit("data.path", str(moved)).edit("checks.keep", 7)
    double = shutil.copytree(starter(), tmp_path / "double")
    assert origin.compare(looked(recipe), looked(other, double), 5) == []


@pytest.mark.parametrize("part", ["config.json", "tokenizer.json", "model.safetensors"])
def test_another_model_in_the_same_place_is_refused(
    recipe: Recipe, tmp_path: Path, part: str
) -> None:
    double = Path(shutil.copytree(starter(), tmp_path / "double"))
    raw = bytearray((double / part).read_bytes())
    raw[-1000:] = b" " * 1000
    (double / part).write_bytes(raw)
    with pytest.raises(RunError, match="the model was changed"):
        origin.compare(looked(recipe), looked(recipe, double), 5)


def test_other_rows_or_another_template_are_refused(recipe: Recipe) -> None:
    then = looked(recipe) | {"template": "1"}
    with pytest.raises(RunError, match=r"the rows of data\.path were changed"):
        origin.compare(then, then | {"data": {"path": "0b"}}, 5)
    with pytest.raises(RunError, match="the chat template was changed"):
        origin.compare(then, then | {"template": "2"}, 5)


def test_other_libraries_are_named_with_both_versions(recipe: Recipe) -> None:
    then = looked(recipe)
    now = copy.deepcopy(then)
    then["versions"]["torch"], then["threads"] = "1.0", 64
    told = origin.compare(then, now, 5)
    assert f"torch 1.0 is now {now['versions']['torch']}" in told
    assert f"64 threads are now {now['threads']}" in told


def test_a_card_and_a_reward_of_ones_own_are_doubted(recipe: Recipe) -> None:
    settings = plan_of(recipe).settings
    assert settings is not None
    assert doubt(recipe, settings) == ""
    assert "GPU" in doubt(recipe, settings.model_copy(update={"device": "cuda"}))
    own = {"kind": "grpo", "rewards": [{"kind": "python", "path": "own.py"}]}
    assert "of your own" in doubt(recipe.edit("objective", own), settings)


def stop_at_two(run: RunDir, event: Event) -> None:
    if isinstance(event, Step) and event.step == 2:
        run.ask("stop")


def edit_origin(run: RunDir, step: int, **changes: Any) -> None:
    """As if the checkpoint had been written elsewhere."""
    facts = durable.read_manifest(run.checkpoint(step))
    sizes = {name: (file["bytes"], file["sha256"]) for name, file in facts.pop("files").items()}
    facts["origin"] |= changes
    (run.checkpoint(step) / durable.MANIFEST).write_text(manifest_of(sizes, facts))


@pytest.mark.slow
def test_a_run_that_goes_on_is_looked_at(tmp_path: Path, recipe: Recipe, tickets: Path) -> None:
    own = Path(shutil.copy(tickets, tmp_path / "own.jsonl"))
    short = recipe.edit("training.max_steps", 4).edit("data.path", str(own))
    run = create(tmp_path / "run", short)
    stopped = go(run, stop_at_two)
    assert "Resuming ends with the same bits" in str(stopped.outcome())
    kept = durable.read_manifest(run.checkpoint(2))["origin"]
    assert len(kept["recipe"]) == len(kept["model"]) == len(kept["template"]) == 64
    assert kept["data"] == {"path": durable.digest(own)}

    text = own.read_text(encoding="utf-8")
    own.write_text(text.replace("a", "e", 1), encoding="utf-8")
    with pytest.raises(RunError, match=r"Since step 2 was saved, the rows of data\.path"):
        go(run)
    own.write_text(text, encoding="utf-8")

    edit_origin(run, 2, versions=kept["versions"] | {"torch": "1.0"})
    done = go(run)
    assert done.state == "finished"
    warned = [event for event in run.events() if isinstance(event, Warned)]
    assert any("torch 1.0 is now" in event.text for event in warned)
    last = durable.read_manifest(run.checkpoint(4))
    assert "torch 1.0 is now" in last["doubt"] == done.checkpoints[-1].doubt


@pytest.mark.slow
def test_a_finished_run_takes_no_step_more(
    tmp_path: Path, recipe: Recipe, capfd: pytest.CaptureFixture[str]
) -> None:
    run = create(tmp_path / "run", recipe.edit("training.max_steps", 2))
    go(run)
    before = run.events_file.read_bytes()
    assert engine(run, 0) == 0
    assert "already finished" in capfd.readouterr().err
    assert run.events_file.read_bytes() == before


def test_a_source_that_changed_since_the_plan_is_still_told(tmp_path: Path) -> None:
    from core.engine.rows import tell_changes

    path = tmp_path / "a.jsonl"
    path.write_text("{}", encoding="utf-8")
    drawn = Drawn(
        where="path", path=str(path), format="chat", digest="0", rows=1, drawn=1, because=""
    )
    told: list[str] = []
    found = tell_changes([drawn], lambda code, text, hint: told.append(code))
    assert found == {"path": durable.digest(path)}
    assert told == ["data-changed"]
