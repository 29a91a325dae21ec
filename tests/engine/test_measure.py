"""Trial steps: on the right rows, without a trace, and an answer also when memory runs out."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import asking, durable, launch, models
from core.draft import Settings
from core.engine.emit import Voice
from core.engine.encode import encode
from core.engine.faults import Stopped
from core.engine.load import load_tokenizer
from core.engine.measure import choose, measure
from core.engine.peak import forget_peak, peak_of_this_process
from core.engine.preflight import preflight
from core.engine.rows import gather
from core.engine.wishes import Wishes
from core.errors import CoreError, RunError
from core.events import Preflight
from core.memory.measured import Measured, usual_trial
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, plan_of

pytestmark = pytest.mark.filterwarnings("default")  # those of the libraries
LINUX = sys.platform == "linux"


def settings_of(recipe: Recipe) -> Settings:
    found = plan_of(recipe).settings
    assert found is not None
    return found


def lengths_of(recipe: Recipe) -> list[int]:
    """Tokens of the rows to learn from, longest first."""
    tokenizer = load_tokenizer(models.resolve(recipe.model))
    corpus = gather(recipe, tokenizer, encode, lambda *_: None, lambda *_: None)
    return sorted((len(row.ids) for row in corpus.train), reverse=True)


def files_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Content and time of every file."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (durable.digest(path), path.stat().st_mtime_ns) for path in found}


def test_the_longest_rows_come_first_and_the_usual_ones_are_the_middle() -> None:
    lengths = [*range(1, 41)]
    found = choose(lengths, 4, 0, joined=False)
    assert [[lengths[row] for row in batch] for batch in found.longest] == [
        [40, 39, 38, 37], [36, 35, 34, 33], [32, 31, 30, 29],
    ]  # fmt: skip
    whole = [4 * max(lengths[row] for row in batch) for batch in found.usual]
    assert min(whole) > 4 * 20, "padded to the longest of four, chance lies above the middle"
    assert max(whole) < 4 * 40
    assert 4 * 20 < found.typical < 4 * 40
    joined = choose(lengths, 4, 0, joined=True)
    assert joined.typical == 4 * 20.5


def test_few_rows_are_tried_again() -> None:
    found = choose([5, 9], 2, 0, joined=False)
    assert found.longest == [[1, 0]] * 3
    assert [sorted(batch) for batch in found.usual] == [[0, 1]] * 2


@pytest.mark.parametrize(("kind", "gathered"), [("lora", 1), ("full", 4)])
def test_what_is_tried_is_the_run_and_leaves_no_trace(
    recipe: Recipe, tmp_path: Path, kind: str, gathered: int
) -> None:
    chosen = recipe.edit("adaptation", {"kind": kind}).edit("training.accumulation", gathered)
    model = models.resolve(chosen.model)
    before, place = files_of(model), tmp_path / "work"
    place.mkdir()
    found = measure(chosen, settings_of(chosen), place)
    assert found.fits, found.failure
    assert list(place.iterdir()) == []
    assert files_of(model) == before
    longest = lengths_of(chosen)
    assert [trial.longest for trial in found.longest] == [longest[0], longest[4], longest[8]]
    assert [trial.tokens for trial in found.longest] == [
        sum(longest[:4]), sum(longest[4:8]), sum(longest[8:12]),
    ]  # fmt: skip
    assert len(found.median) == 2
    assert all(t.computed <= found.longest[0].computed for t in found.median)
    assert found.longest[0].computed >= found.typical_tokens > 0
    usual = usual_trial(found.median)
    step = gathered * usual.seconds + usual.update
    assert found.seconds_per_median_step == pytest.approx(step)
    assert found.tokens_per_second == pytest.approx(gathered * usual.tokens / step)
    assert found.adaptation == kind
    assert found.versions["torch"]


def test_packed_rows_are_tried_as_one(recipe: Recipe, tmp_path: Path) -> None:
    small = recipe.edit("training.micro_batch", 2).edit("training.accumulation", 1)
    packed = small.edit("objective", {"kind": "sft", "packing": True})
    found = measure(packed, settings_of(packed), tmp_path)
    assert all(trial.rows > 2 for trial in found.longest), "two sequences of several rows"
    assert all(t.tokens == t.computed <= 2 * 256 for t in found.longest)


@pytest.mark.slow
def test_a_run_after_trial_steps_goes_as_it_would_have_gone(recipe: Recipe, tmp_path: Path) -> None:
    short = recipe.edit("training.micro_batch", 2).edit("training.accumulation", 1)
    short = short.edit("training.max_steps", 6).edit("data.heldout_share", 0)
    alone = go(create(tmp_path / "alone", short))
    measure(short, settings_of(short), tmp_path)
    after = go(create(tmp_path / "after", short))
    losses = [step.loss for step in alone.steps]
    assert [step.loss for step in after.steps] == losses
    assert losses[-1] < losses[0]


@pytest.mark.skipif(not LINUX, reason="limits the address space")
def test_running_out_of_memory_is_an_answer(recipe: Recipe, tmp_path: Path) -> None:
    import resource

    wide = recipe.edit("training.micro_batch", 32).edit("adaptation", {"kind": "full"})
    place = tmp_path / "work"
    place.mkdir()
    before = resource.getrlimit(resource.RLIMIT_AS)
    room = psutil.Process().memory_info().vms + 150_000_000
    resource.setrlimit(resource.RLIMIT_AS, (room, before[1]))
    try:
        found = measure(wide, settings_of(wide), place)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert not found.fits
    assert found.failure == "The computer ran out of memory."
    assert "micro_batch" in found.hint
    assert found.reached.startswith(("in trial step", "while the model"))
    assert found.longest == ()
    assert found.eta(settings_of(wide)) is None
    assert list(place.iterdir()) == []


@pytest.mark.skipif(not LINUX, reason="elsewhere a peak cannot be forgotten")
def test_a_peak_of_memory_is_seen_and_can_be_forgotten() -> None:
    size = 200_000_000
    forget_peak()
    before = peak_of_this_process()
    block = bytearray(b"x") * size
    del block
    assert peak_of_this_process() >= before + 0.9 * size
    forget_peak()
    assert peak_of_this_process() < before + 0.5 * size


def test_another_fault_is_no_answer(recipe: Recipe, tmp_path: Path) -> None:
    place = tmp_path / "work"
    place.mkdir()
    with pytest.raises(CoreError, match="No row has anything to learn"):
        measure(recipe.edit("training.max_length", 16), settings_of(recipe), place)
    assert list(place.iterdir()) == []


# ---- before a run --------------------------------------------------------------------------------


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> RunDir:
    """A run whose plan asks for trial steps."""
    plan = plan_of(recipe).model_copy(update={"measure": True})
    return RunDir.create(tmp_path / "run", recipe, plan.model_dump_json())


def before_the_run(run: RunDir) -> None:
    voice = Voice(run)
    try:
        preflight(run, voice, Wishes(run, 0))
    finally:
        voice.close()


def answering(monkeypatch: pytest.MonkeyPatch, answer: Measured | CoreError) -> None:
    """Trial steps that were taken elsewhere."""

    def take(*_: Any, **__: Any) -> Measured:
        if isinstance(answer, CoreError):
            raise answer
        return answer

    monkeypatch.setattr(asking, "measure", take)


def test_a_run_that_does_not_fit_ends_with_a_way_out(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Measured(
        fits=False, failure="The GPU ran out of memory.", reached="in trial step 1 of 5",
        device="card", cuda=True, adaptation="lora", limit_bytes=10**9,
    )  # fmt: skip
    answering(monkeypatch, lost)
    with pytest.raises(RunError, match=r"The GPU ran out of memory\. .* nothing was trained") as no:
        before_the_run(run)
    assert "Batch 4 to 2" in no.value.hint
    story = run.history()
    assert story.phase is not None
    assert story.phase.name == "measuring"
    assert story.preflight is not None
    assert story.preflight.reached == lost.reached


def test_a_measurement_that_fails_does_not_keep_a_run_from_trying(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, RunError("The measure ended unexpectedly."))
    before_the_run(run)
    [warning] = run.history().warnings
    assert warning.code == "not-measured"
    assert "ended unexpectedly" in warning.text


def test_a_plan_that_does_not_ask_is_not_measured(recipe: Recipe, tmp_path: Path) -> None:
    run = create(tmp_path / "run", recipe)
    before_the_run(run)
    assert list(run.events()) == []


def test_a_wish_to_stop_ends_the_trial_at_once(run: RunDir) -> None:
    run.ask("stop")
    with pytest.raises(Stopped):
        before_the_run(run)
    assert psutil.Process().children(recursive=True) == []


# ---- as processes --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="sends a signal")
def test_a_polite_kill_ends_the_process(recipe: Recipe, tmp_path: Path) -> None:
    request = tmp_path / "request"
    asked = asking.Rehearsal(recipe=recipe, settings=settings_of(recipe))
    request.write_text(asked.model_dump_json(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        command = asking.engine_command("measure", str(request), f"{folder}/reply")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            while process.poll() is None and not list(Path(folder).glob("trial-*/run/events*")):
                psutil.wait_procs([psutil.Process(process.pid)], timeout=0.05)
            process.terminate()
        assert process.returncode == -signal.SIGTERM
        assert not Path(folder, "reply").exists()


@pytest.mark.slow
def test_a_run_measures_first_and_says_so(recipe: Recipe, tmp_path: Path) -> None:
    plan = plan_of(recipe).model_copy(update={"measure": True})
    with launch.start(tmp_path / "run", recipe, plan) as engine:
        kinds = [event.kind for batch in launch.follow(engine.run, engine.alive) for event in batch]
    story = engine.run.history()
    assert story.state == "finished"
    assert story.preflight is not None
    assert story.preflight.fits
    assert story.preflight.seconds
    assert kinds[:3] == ["started", "phase", "preflight"]
    assert isinstance(story.preflight, Preflight)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["lora", "qlora", "full"])
def test_a_real_card_is_measured(recipe: Recipe, kind: str) -> None:
    chosen = recipe.edit("training.device", "cuda").edit("adaptation", {"kind": kind})
    plan = plan_of(chosen)
    assert plan.measure
    found = launch.measure(chosen, plan)
    assert found.fits, found.failure
    assert found.cuda
    assert found.driver
    assert found.used_bytes is not None
    assert 0 < found.allocated_bytes <= found.reserved_bytes < found.used_bytes
    assert found.used_bytes < found.limit_bytes
    assert found.seconds_per_median_step
