"""`tunesmith queue`: the terminal's side of the queue, with a stand-in for the engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from queue_process import ENGINE, plan_for

from core import cli, keeper, launch, power, queue_commands
from core.errors import CoreError
from core.queue import QueueFile
from core.recipe import parse
from core.rundir import RunDir


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "PAUSE", 0.05)
    monkeypatch.setattr(queue_commands, "POLL", 0.05)
    monkeypatch.setattr(queue_commands, "plan_whole", plan_for)
    monkeypatch.setattr(
        launch, "engine_command", lambda _run, root, *_: [sys.executable, str(ENGINE), root]
    )


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder with recipes `a`, `b`, `fails` and their rows."""
    rows = ({"prompt": f"{n}?", "completion": f"{n}"} for n in range(40))
    lines = (json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    for name in ("a", "b", "fails"):
        chosen = parse(
            {"name": name, "data": {"path": "rows.jsonl"}, "training": {"device": "cpu"}}
        )
        (tmp_path / f"{name}.yaml").write_text(chosen.to_yaml(), encoding="utf-8")
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(["queue", *words])
    out, err = capsys.readouterr()
    return status, out, err


def document(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
    found, out, err = call(capsys, *words, "--json")
    assert found == status, err
    return json.loads(out)


def names(told: Any) -> list[str]:
    return [f"{entry['name']} {entry['state']}" for entry in told["entries"]]


def add(capsys: pytest.CaptureFixture[str], recipes: Path, *which: str) -> Any:
    return document(capsys, "add", *(str(recipes / f"{name}.yaml") for name in which))


def test_a_queue_is_made_ordered_and_emptied(
    capsys: pytest.CaptureFixture[str], recipes: Path
) -> None:
    assert names(add(capsys, recipes, "a", "b", "fails")) == [
        "a waiting", "b waiting", "fails waiting",
    ]  # fmt: skip
    assert names(document(capsys, "move", "3", "first")) == [
        "fails waiting", "a waiting", "b waiting",
    ]  # fmt: skip
    assert names(document(capsys, "remove", "3", "1")) == ["b waiting"]
    assert document(capsys, "pause")["paused"]
    assert not document(capsys, "resume")["paused"]
    assert document(capsys, "at-end", "sleep")["at_end"] == "sleep"
    (entry,) = document(capsys, "list")["entries"]
    assert entry == {
        "id": 2, "name": "b", "state": "waiting", "run": None, "text": "", "added": entry["added"],
    }  # fmt: skip


def test_what_is_said_to_people(capsys: pytest.CaptureFixture[str], recipes: Path) -> None:
    assert "Nothing waits." in call(capsys, "list")[1]
    assert "Added as 1: a." in call(capsys, "add", str(recipes / "a.yaml"))[1]
    _, out, _ = call(capsys, "list")
    assert out.splitlines()[0].split() == ["1", "a", "waiting"]
    assert "start the next one" in out
    call(capsys, "pause")
    assert "The queue is paused" in call(capsys, "list")[1]


def test_relative_paths_are_kept_whole(capsys: pytest.CaptureFixture[str], recipes: Path) -> None:
    add(capsys, recipes, "a")
    assert QueueFile().read().entries[0].parsed().data.path == str(recipes / "rows.jsonl")


def test_a_recipe_that_cannot_run_is_not_added(
    capsys: pytest.CaptureFixture[str], recipes: Path
) -> None:
    (recipes / "rows.jsonl").unlink()
    status, _, err = call(capsys, "add", str(recipes / "a.yaml"))
    assert status == 2
    assert "rows.jsonl" in err
    assert QueueFile().read().entries == ()


@pytest.mark.parametrize(
    "words",
    [("move", "9", "up"), ("remove", "9"), ("remove",), ("remove", "9", "--ended"), ("at-end", "x"),
     ("move", "x", "up"), ("move", "1", "sideways"), ("add",), ()],
)  # fmt: skip
def test_bad_words_are_refused_with_a_hint(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    status, _, err = call(capsys, *words)
    assert status == 2
    assert err.startswith("error: ")
    assert "hint: " in err


def test_all_that_waits_is_trained(capsys: pytest.CaptureFixture[str], recipes: Path) -> None:
    add(capsys, recipes, "a", "fails", "b")
    told = document(capsys, "run", status=1)
    assert names(told) == ["a finished", "fails failed", "b finished"]
    assert told["ended"] == [1, 2, 3]
    assert "The disk is full." in told["entries"][1]["text"]
    assert RunDir.open(Path(told["entries"][2]["run"])).history().state == "finished"
    assert document(capsys, "run")["ended"] == []
    assert names(document(capsys, "remove", "--ended")) == []


def test_the_way_is_told(capsys: pytest.CaptureFixture[str], recipes: Path) -> None:
    add(capsys, recipes, "a", "fails")
    status, out, err = call(capsys, "run")
    assert status == 1
    assert "Ctrl-C leaves it going on." in out
    assert "The queue goes on; 1 waits." in out
    assert "fails was given up: Failed at step 3 of 3: The disk is full." in err


def test_nothing_at_the_end_leaves_the_rest_waiting(
    capsys: pytest.CaptureFixture[str], recipes: Path
) -> None:
    add(capsys, recipes, "a", "b")
    document(capsys, "at-end", "nothing")
    told = document(capsys, "run")
    assert names(told) == ["a finished", "b waiting"]
    assert told["paused"]
    assert "The queue is paused." in call(capsys, "run")[1]


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is a program of Linux")
@pytest.mark.parametrize(("then", "expected"), [("exit 0", ""), ("echo No.>&2; exit 1", "No.")])
def test_the_computer_sleeps_after_the_last(
    capsys: pytest.CaptureFixture[str],
    recipes: Path,
    monkeypatch: pytest.MonkeyPatch,
    then: str,
    expected: str,
) -> None:
    program = recipes / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> "$0.said"\n{then}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(power, "COUNTDOWN", 1)
    add(capsys, recipes, "a")
    document(capsys, "at-end", "sleep")
    status, _, err = call(capsys, "run")
    assert status == 0
    assert program.with_name("systemctl.said").read_text() == "suspend --no-ask-password\n"
    assert "The computer goes to sleep in 1 seconds. Ctrl-C keeps it on." in err
    assert expected in err
    assert document(capsys, "list")["at_end"] == "next"


def test_another_keeper_is_named(capsys: pytest.CaptureFixture[str], recipes: Path) -> None:
    add(capsys, recipes, "a")
    document(capsys, "pause")
    other = keeper.Keeper(plan_for)
    try:
        other.turn()
        status, _, err = call(capsys, "run")
    finally:
        other.leave()
    assert status == 2
    assert "works on it" in err


def test_a_folder_that_cannot_be_written_is_told(
    capsys: pytest.CaptureFixture[str], recipes: Path, home: Path
) -> None:
    home.write_text("a file in the way", encoding="utf-8")
    status, _, err = call(capsys, "pause")
    assert status == 2
    assert str(home) in err
    with pytest.raises(CoreError):
        keeper.Keeper(plan_for).turn()
