"""Engines started in isolation and followed through whatever they leave in their file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core import asking, launch
from core.draft import Settings
from core.errors import CoreError, RecipeError, RunError
from core.events import Event, Failed, Finished, Started, Step, encode
from core.machine import read_machine
from core.plan import Facts, Plan, make_plan
from core.recipe import Recipe, parse
from core.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", Recipe(), "{}")


def say(run: RunDir, data: bytes) -> None:
    with run.events_file.open("ab") as file:
        file.write(data)


def follow(run: RunDir, *moments: bytes) -> list[Event]:
    """Follow a run that writes one of `moments` between two looks, and then is gone."""
    coming: Iterator[bytes] = iter(moments)

    def alive() -> bool:
        data = next(coming, None)
        if data is None:
            return False
        say(run, data)
        return True

    return [event for batch in launch.follow(run, alive, poll=0) for event in batch]


STEP = encode(Step(step=1, total=2, loss=0.5))
DONE = encode(Finished(step=2))


def test_the_engine_is_isolated_from_folder_and_environment() -> None:
    command = launch.engine_command("run", "x")
    assert command[1] == "-I"
    assert command[-4:] == ["-m", "core.engine", "run", "x"]


def test_the_environment_holds_no_secret_and_no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "HF_TOKEN": "hf_x", "HUGGING_FACE_HUB_TOKEN": "hf_x", "HTTPS_PROXY": "http://p",
        "https_proxy": "http://p", "PYTHONPATH": "/p", "LD_PRELOAD": "/p", "AWS_SECRET_KEY": "x",
        "HF_ENDPOINT": "http://p",
    }  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    given = launch.engine_environment()
    assert not set(given) & set(secrets)
    assert given["HF_HUB_OFFLINE"] == "1"
    assert given["PATH"] == os.environ["PATH"]


def test_following_joins_lines_torn_between_two_looks(run: RunDir) -> None:
    events = follow(run, STEP[:10], STEP[10:] + DONE)
    assert [event.kind for event in events] == ["step", "finished"]


def test_what_is_said_last_is_not_lost(run: RunDir) -> None:
    assert [event.kind for event in follow(run, STEP, b"", DONE)] == ["step", "finished"]


def test_unknown_kinds_are_skipped(run: RunDir) -> None:
    events = follow(run, b'{"kind":"hologram"}\n' + STEP, DONE)
    assert [event.kind for event in events] == ["step", "finished"]


def test_a_multibyte_character_may_be_torn(run: RunDir) -> None:
    line = encode(Failed(error="磁盘已满"))
    assert [event.kind for event in follow(run, line[:-12], line[-12:])] == ["failed"]


def test_an_engine_that_dies_in_mid_sentence_is_told_of(run: RunDir) -> None:
    run.log_file.write_text("one\ntwo\nSegmentation fault", encoding="utf-8")
    *_, last = follow(run, STEP, STEP[:20])
    assert isinstance(last, Failed)
    assert "ended without a word" in last.error
    assert "nothing was saved" in last.hint
    assert "Segmentation fault" in last.detail


def test_a_run_told_twice_ends_once(run: RunDir) -> None:
    resumed = encode(Finished(step=1, stopped=True)) + encode(Started(pid=2, resumed=1)) + DONE
    events = follow(run, resumed)
    assert [event.kind for event in events] == ["finished", "started", "finished"]


def test_a_follower_may_leave(run: RunDir) -> None:
    say(run, STEP)
    batches = launch.follow(run, lambda: True, detach=lambda: True)
    assert list(batches) == []


def test_a_finished_run_is_not_resumed(run: RunDir) -> None:
    say(run, DONE)
    with pytest.raises(RunError, match="already finished"):
        launch.resume(run)


def test_a_running_run_is_not_resumed(run: RunDir) -> None:
    with run.lock().acquire(), pytest.raises(RunError, match="already running"):
        launch.resume(run)


def test_the_end_of_the_log_is_short(run: RunDir) -> None:
    assert launch.last_lines(run) == ""
    run.log_file.write_text("\n".join(str(n) for n in range(1000)), encoding="utf-8")
    assert launch.last_lines(run, 2) == "998\n999"


@pytest.mark.slow
def test_a_preview_that_fails_says_so_in_the_engines_words(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "a"}\n{"prompt"', encoding="utf-8")
    chosen = parse({"model": "starter", "data": {"path": str(data)}})
    with pytest.raises(CoreError) as caught:
        launch.preview(chosen)
    assert "line 2" in str(caught.value)
    assert caught.value.hint


# ---- trial steps ---------------------------------------------------------------------------------


@pytest.fixture
def planned() -> tuple[Recipe, Plan]:
    chosen = parse({"model": "starter", "training": {"device": "cpu"}})
    settings = Settings(
        device="cpu", bf16=False, learning_rate=1e-3, max_length=64, micro_batch=1,
        accumulation=1, checkpointing=False,
    )  # fmt: skip
    return chosen, Plan(settings=settings)


def become(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Engines that answer questions are another program from here on."""
    monkeypatch.setattr(
        asking, "engine_command", lambda *words: [sys.executable, "-c", program, *words]
    )


@pytest.mark.skipif(sys.platform == "win32", reason="kills as Linux does when memory runs out")
def test_a_trial_that_the_system_ends_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, planned: tuple[Recipe, Plan]
) -> None:
    become(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    found = launch.measure(*planned)
    assert not found.fits
    assert "memory ran out" in found.failure
    assert found.limit_bytes > 0


def test_a_trial_that_takes_too_long_is_ended(
    monkeypatch: pytest.MonkeyPatch, planned: tuple[Recipe, Plan]
) -> None:
    become(monkeypatch, "import time; time.sleep(600)")
    with pytest.raises(RunError, match="took longer than 0 seconds"):
        launch.measure(*planned, timeout=0.1)
    assert psutil.Process().children() == []


def test_a_question_nobody_answers_ends_with_the_last_words(
    monkeypatch: pytest.MonkeyPatch, planned: tuple[Recipe, Plan]
) -> None:
    become(monkeypatch, "raise SystemExit('the last words')")
    with pytest.raises(RunError, match="The measure ended unexpectedly") as caught:
        launch.measure(*planned)
    assert caught.value.hint == "the last words"


def test_a_plan_that_is_not_ready_is_not_tried() -> None:
    with pytest.raises(RecipeError) as caught:
        launch.measure(Recipe(), make_plan(Recipe(), Facts(machine=read_machine())))
    assert "ready" in caught.value.hint
