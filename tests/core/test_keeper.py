"""The queue worked on with real child processes: begun, followed, taken over, given up, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from queue_process import ENGINE, plan_for
from queue_process import __file__ as PROCESS

from core import keeper as keeping
from core import launch, places, vacancy
from core.causes import ATTEMPTS
from core.errors import HardwareError
from core.events import Finished, Saved, Started, Step, encode
from core.keeper import Keeper, Standing
from core.machine import Gpu, Machine
from core.memory import Bill, Item
from core.plan import Plan, Settings
from core.queue import Entry, Queue, QueueFile
from core.recipe import Recipe
from core.rundir import RunDir


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are the stand-in, and nobody waits for a driver to come back."""
    monkeypatch.setattr(keeping, "PAUSE", 0.05)
    monkeypatch.setattr(
        launch, "engine_command", lambda _run, root, *_: [sys.executable, str(ENGINE), root]
    )


@pytest.fixture
def file(home: Path) -> QueueFile:
    home.mkdir()
    rows = ({"prompt": f"{n}?", "completion": f"{n}"} for n in range(40))
    lines = (json.dumps(row) + "\n" for row in rows)
    (home / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    return QueueFile()


@pytest.fixture
def keeper(file: QueueFile) -> Iterator[Keeper]:
    made = Keeper(plan_for)
    yield made
    made.leave()
    for engine in made._engines.values():
        engine.stop(grace=10)


def recipe(name: str) -> Recipe:
    return (
        Recipe(name=name, model="starter")
        .edit("data.path", str(places.data_home() / "rows.jsonl"))
        .edit("training.device", "cpu")
    )


def add(file: QueueFile, *names: str) -> None:
    for name in names:
        file.change(lambda q, n=name: q.added(recipe(n)))  # type: ignore[misc]


def until(keeper: Keeper, *kinds: str) -> Standing:
    """Turn until it stands like this."""
    end = time.monotonic() + 60
    while (found := keeper.turn()).kind not in kinds:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def ends(keeper: Keeper) -> list[str]:
    """Work to the end; how each entry ended, in their order."""
    until(keeper, "done")
    return [f"{one.name} {one.state}" for one in keeper.file.read().entries]


def stop(found: Standing) -> None:
    assert found.run is not None
    found.run.ask("stop")


def steps_taken(found: Standing) -> RunDir:
    """The run, once it has taken a step and so holds its lock."""
    run = found.run
    assert run is not None
    end = time.monotonic() + 60
    while not run.history().step:
        assert time.monotonic() < end
        time.sleep(0.02)
    return run


def starts(run: RunDir) -> int:
    return sum(isinstance(event, Started) for event in run.events())


# -- one after another -------------------------------------------------------------------------


def test_one_after_another_in_their_order(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a", "b", "c")
    file.change(lambda q: q.moved(3, "first"))
    assert ends(keeper) == ["c finished", "a finished", "b finished"]
    runs = [RunDir.open(Path(one.run)) for one in file.read().entries]
    assert [run.history().state for run in runs] == ["finished"] * 3
    assert [run.load_recipe() for run in runs] == [recipe("c"), recipe("a"), recipe("b")]
    begun = [run.history().started for run in runs]
    assert sorted(begun, key=lambda one: one.t if one else 0) == begun


def test_a_run_that_failed_or_was_stopped_keeps_nobody_waiting(
    keeper: Keeper, file: QueueFile
) -> None:
    add(file, "fails", "long", "c")
    found = until(keeper, "ended")
    assert found.text.startswith("Failed at step 3 of 3: The disk is full.")
    assert found.text.endswith("Free some space.")
    steps_taken(until(keeper, "training")).ask("stop")
    assert ends(keeper) == ["fails failed", "long stopped", "c finished"]


def test_what_cannot_run_is_refused_with_its_reason(
    keeper: Keeper, file: QueueFile, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.jsonl"
    file.change(lambda q: q.added(recipe("gone").edit("data.path", str(gone))))
    file.change(lambda q: q.added(recipe("nothing").edit("model", "")))
    file.change(lambda q: q.changed(1, digests=("x",)))
    add(file, "c")
    assert ends(keeper) == ["gone refused", "nothing refused", "c finished"]
    first, second, _ = file.read().entries
    assert "gone.jsonl" in first.text
    assert second.text
    assert not first.run


def test_a_dataset_that_changed_meanwhile_is_told(keeper: Keeper, file: QueueFile) -> None:
    kept = keeping.digests(plan_for(recipe("a")))
    assert kept
    file.change(lambda q: q.added(recipe("same"), kept).added(recipe("other"), ["else"]))
    until(keeper, "done")
    same, other = file.read().entries
    assert "not what it was" not in same.told
    assert (
        other.told == "Finished, step 3 of 3. The dataset is not what it was when this was added."
    )


def test_a_run_that_asks_is_waited_for_and_told(keeper: Keeper, file: QueueFile) -> None:
    add(file, "asks", "b")
    found = until(keeper, "help")
    assert "The loss rises. Look at it." in found.text
    assert keeper.turn().kind == "help"
    assert len(file.read().waiting) == 1
    stop(found)
    assert ends(keeper) == ["asks stopped", "b finished"]


def test_a_paused_queue_begins_nothing_and_goes_on_later(keeper: Keeper, file: QueueFile) -> None:
    add(file, "long", "b")
    run = steps_taken(until(keeper, "training"))
    file.change(lambda q: q.with_pause(True))
    assert keeper.turn().kind == "training", "what is in hand goes on"
    run.ask("stop")
    assert until(keeper, "held").queue.waiting[0].name == "b"
    assert keeper.turn().kind == "held"
    file.change(lambda q: q.with_pause(False))
    assert ends(keeper) == ["long stopped", "b finished"]


# -- when the machine is free ------------------------------------------------------------------


def test_it_waits_while_another_run_trains(keeper: Keeper, file: QueueFile) -> None:
    other = RunDir.create(places.runs_home() / "by-hand", Recipe(), "{}")
    add(file, "a")
    with other.hold(1):
        for _ in range(2):
            found = keeper.turn()
            assert (found.kind, found.text) == ("occupied", "by-hand is training.")
    assert ends(keeper) == ["a finished"]


def planned(needed: int, device: str = "cuda") -> Plan:
    settings = Settings(
        device=device, bf16=False, learning_rate=1e-3, max_length=64, micro_batch=1,
        accumulation=1, checkpointing=False,
    )  # fmt: skip
    bill = Bill(
        items=(Item(name="Weights", bytes=needed, note=""),), allocated=needed, reserved=needed,
        context=0, total=needed, phase="backward", band=0.1,
    )  # fmt: skip
    return Plan(settings=settings, bill=bill)


@pytest.mark.parametrize(
    ("needed", "free", "waits"),
    [(8, 9, False), (8, 7, True), (23, 22, False), (23, 15, True), (99, 22, False)],
)
def test_it_waits_for_memory_that_another_program_holds(
    needed: int, free: int, waits: bool
) -> None:
    giga = 10**9
    card = Gpu(name="Card", total=24 * giga, free=free * giga, capability=(8, 0))
    machine = Machine(
        system="", cores=1, memory=giga, memory_free=giga, disk_free=giga, gpus=(card,)
    )
    short = vacancy.short_of_memory(planned(needed * giga), machine)
    assert bool(short) == waits
    assert ("another program" in short) == waits
    assert not vacancy.short_of_memory(planned(99 * giga, "cpu"), machine)


# -- deaths ------------------------------------------------------------------------------------


def test_a_keeper_is_killed_and_the_next_one_goes_on(keeper: Keeper, file: QueueFile) -> None:
    add(file, "long", "b")
    with subprocess.Popen(
        [sys.executable, PROCESS, "keep"], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "training long\n"
        found = keeper.turn()
        assert found.kind == "elsewhere"
        assert f"process {other.pid} on" in found.text
        run = steps_taken(found)
        other.kill()
    step = run.history().step
    found = until(keeper, "training")
    assert found.run == run, "the run in hand is taken over, not begun anew"
    while run.history().step <= step:
        time.sleep(0.02)
    run.ask("stop")
    assert ends(keeper) == ["long stopped", "b finished"]
    assert starts(run) == 1


def test_two_keepers_share_a_queue_without_doing_anything_twice(file: QueueFile) -> None:
    add(file, "a", "b", "c")
    both = [
        subprocess.Popen([sys.executable, PROCESS, "keep"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [other.communicate(timeout=120)[0] for other in both]
    assert all(said.endswith("done\n") for said in told)
    roots = sorted(places.runs_home().iterdir())
    assert len(roots) == 3
    assert [starts(RunDir(root)) for root in roots] == [1, 1, 1]


def test_an_engine_that_is_lost_is_started_again_and_its_run_goes_on(
    keeper: Keeper, file: QueueFile
) -> None:
    add(file, "falters", "b")
    assert ends(keeper) == ["falters finished", "b finished"]
    first = file.read().entries[0]
    assert starts(RunDir(Path(first.run))) == 2
    assert "attempt 1 of" in first.text or first.tried == 1


def test_an_engine_that_is_lost_again_and_again_is_given_up(
    keeper: Keeper, file: QueueFile
) -> None:
    add(file, "dies", "b")
    assert ends(keeper) == ["dies failed", "b finished"]
    first = file.read().entries[0]
    assert starts(RunDir(Path(first.run))) == 1 + ATTEMPTS
    assert "without a word" in first.text


def test_an_engine_that_was_killed_is_not_started_again(keeper: Keeper, file: QueueFile) -> None:
    add(file, "long", "b")
    run = steps_taken(until(keeper, "training"))
    started = run.history().started
    assert started
    os.kill(started.pid, signal.SIGKILL)
    assert ends(keeper) == ["long failed", "b finished"]
    assert "killed from outside" in file.read().entries[0].text


def begun(file: QueueFile, state: str, run: Path, **more: object) -> None:
    """As a keeper that died left it."""
    changes = {"state": state, "run": str(run)} | more
    file.change(lambda q: q.changed(1, **changes))


def test_what_was_claimed_and_never_made_is_begun_anew(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a")
    begun(file, "claimed", places.runs_home() / "never")
    assert ends(keeper) == ["a finished"]


def test_what_was_made_and_never_started_is_started(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a")
    run = RunDir.create(
        places.runs_home() / "made", recipe("a"), plan_for(recipe("a")).model_dump_json()
    )
    begun(file, "claimed", run.root)
    assert ends(keeper) == ["a finished"]
    assert starts(run) == 1


def test_what_the_system_ended_goes_on_after_the_restart(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a")
    run = RunDir.create(
        places.runs_home() / "half", recipe("a"), plan_for(recipe("a")).model_dump_json()
    )
    with run.events_file.open("ab") as story:
        for event in (Started(pid=1), Step(step=2, total=3, loss=1), Saved(step=2, path="x"),
                      Finished(step=2, stopped=True, interrupted=True)):  # fmt: skip
            story.write(encode(event))
    begun(file, "started", run.root, tried=ATTEMPTS)
    assert ends(keeper) == ["a finished"]
    assert starts(run) == 2
    assert file.read().entries[0].saved == 2


def test_a_run_that_was_deleted_is_over(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a", "b")
    begun(file, "started", places.runs_home() / "deleted")
    assert ends(keeper) == ["a failed", "b finished"]
    assert "is gone" in file.read().entries[0].text


def test_a_keeper_that_left_lets_the_next_one_in(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a")
    first = Keeper(plan_for)
    file.change(lambda q: q.with_pause(True))
    assert first.turn().kind == "held"
    assert keeper.turn().kind == "elsewhere"
    first.leave()
    assert keeper.turn().kind == "held"


# -- at the end --------------------------------------------------------------------------------


def test_nothing_at_the_end_pauses_the_queue(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a", "b")
    file.change(lambda q: q.ending("nothing"))
    found = until(keeper, "held")
    assert [one.name for one in found.queue.waiting] == ["b"]


def test_the_end_is_told_once_and_after_the_last(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a", "b")
    file.change(lambda q: q.ending("sleep"))
    found = until(keeper, "farewell", "done")
    assert found.kind == "farewell"
    assert [one.state for one in found.queue.entries] == ["finished", "finished"]
    assert keeper.turn().kind == "done"


def test_what_ended_before_anybody_looked_sends_nobody_to_sleep(
    keeper: Keeper, file: QueueFile
) -> None:
    add(file, "a")
    file.change(lambda q: q.ending("shutdown"))
    run = RunDir.create(places.runs_home() / "done", recipe("a"), "{}")
    with run.events_file.open("ab") as story:
        story.write(encode(Finished(step=3)))
    begun(file, "started", run.root)
    assert until(keeper, "farewell", "done").kind == "done"


def test_the_computer_stays_on_for_another_run(
    keeper: Keeper, file: QueueFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file.change(lambda q: q.ending("sleep"))
    other = RunDir.create(places.runs_home() / "by-hand", Recipe(), "{}")
    with other.hold(1), pytest.raises(HardwareError, match="by-hand is training") as told:
        keeper.farewell("sleep")
    assert told.value.hint
    assert file.read().at_end == "next", "it holds for one time only"


def test_the_computer_stays_on_for_what_was_added_meanwhile(
    keeper: Keeper, file: QueueFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    add(file, "late")
    with pytest.raises(HardwareError, match="something to do again"):
        keeper.farewell("shutdown")


def test_no_process_is_left_behind(keeper: Keeper, file: QueueFile) -> None:
    add(file, "a")
    until(keeper, "done")
    assert [p for p in psutil.Process().children() if p.status() != "zombie"] == []


def test_an_entry_in_words() -> None:
    entry = Entry(id=1, name="a", recipe={}, run="/nowhere/at/all", state="claimed")
    assert keeping.look(entry).state == "waiting"
    assert Standing("done", Queue()).run is None
