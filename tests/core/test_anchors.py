"""Paths of a recipe mean the same wherever an engine works."""

from __future__ import annotations

from pathlib import Path

from core.anchors import anchored
from core.objectives import DPO
from core.objectives.distill import Distill
from core.recipe import Recipe, parse


def test_what_starts_at_a_folder_is_made_whole(tmp_path: Path) -> None:
    for name in ("model", "big"):
        (tmp_path / name).mkdir()
    (tmp_path / "rows.jsonl").touch()
    chosen = Recipe(model="model", objective=Distill(teacher="big"))
    chosen = chosen.edit("data.path", "rows.jsonl").edit("data.heldout", "~/held.jsonl")
    whole = anchored(chosen, tmp_path)
    assert whole.model == str(tmp_path / "model")
    assert whole.data.path == str(tmp_path / "rows.jsonl")
    assert whole.data.heldout == str(Path("~/held.jsonl").expanduser())
    assert isinstance(whole.objective, Distill)
    assert whole.objective.teacher == str(tmp_path / "big")
    assert anchored(whole, Path("/elsewhere")) == whole


def test_names_stay_names(tmp_path: Path) -> None:
    chosen = Recipe(model="owner/name", objective=DPO()).edit("data.path", "hub:owner/rows#train")
    assert anchored(chosen, tmp_path) == chosen
    assert anchored(Recipe(), tmp_path) == Recipe()


def test_files_of_rewards_are_made_whole(tmp_path: Path) -> None:
    rewards = [{"kind": "python", "path": "mine.py"}, {"kind": "model", "run": "./judge"}]
    chosen = parse({"objective": {"kind": "grpo", "rewards": rewards}})
    found = anchored(chosen, tmp_path).objective.model_dump()["rewards"]
    assert [found[0]["path"], found[1]["run"]] == [
        str(tmp_path / "mine.py"),
        str(tmp_path / "judge"),
    ]
