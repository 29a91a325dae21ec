"""Every file of a real checkpoint, damaged in every way: found, named, and the older one used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core.durable import MANIFEST
from core.engine.__main__ import run as engine
from core.events import Event, Step, Warned
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, go, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


def flip(path: Path) -> None:
    """One bit in the middle: the size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "bit flip": flip,
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 8),
}
HELD = {
    "optimizer.json", "optimizer.safetensors", "random.json", "random.safetensors",
    "scheduler.json", "scheduler.safetensors", "trainer_state.json", MANIFEST,
}  # fmt: skip
"""What every checkpoint holds beside the weights."""


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    """Six small steps, a checkpoint after every second."""
    for path, value in {
        "data.heldout_share": 0, "training.max_steps": 6, "training.micro_batch": 2,
        "training.accumulation": 1, "training.max_length": 64, "checks.save_every": 2,
    }.items():  # fmt: skip
        recipe = recipe.edit(path, value)
    return recipe


def stop_at_four(run: RunDir, event: Event) -> None:
    if isinstance(event, Step) and event.step == 4:
        run.ask("stop")


@pytest.mark.parametrize("kind", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_every_damage_to_every_file_is_found_and_named(
    tmp_path: Path, short: Recipe, kind: str
) -> None:
    run = create(tmp_path / "run", short.edit("adaptation", {"kind": kind}))
    go(run, stop_at_four)
    newest, spare = run.checkpoint(4), tmp_path / "spare"
    shutil.copytree(newest, spare)
    names = sorted(path.relative_to(newest).as_posix() for path in newest.rglob("*.*"))
    assert set(names) > HELD
    assert any("model" in name and name.endswith(".safetensors") for name in names)
    for name in names:
        for what, damage in DAMAGES.items():
            damage(newest / name)
            step, (fault, *others) = run.newest_valid()
            assert (step, others) == (2, []), (name, what)
            told = "no readable manifest" if name == MANIFEST else f"/{name}: "
            assert fault.startswith(newest.name), (name, what)
            assert told in fault, (name, what)
            shutil.rmtree(newest)
            shutil.copytree(spare, newest)
            assert run.newest_valid() == (4, [])
    print(f"\n{kind}: {len(names)} files x {len(DAMAGES)} damages = {len(names) * len(DAMAGES)}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizer.safetensors", "random.json", MANIFEST])
def test_a_run_goes_on_from_the_older_one_to_the_same_bits(
    tmp_path: Path, short: Recipe, name: str
) -> None:
    whole, run = create(tmp_path / "whole", short), create(tmp_path / "run", short)
    go(whole)
    go(run, stop_at_four)
    flip(run.checkpoint(4) / name)
    assert engine(run, run.control().serial) == 0
    told = [event.text for event in run.events() if isinstance(event, Warned)]
    (fault,) = [text for text in told if "passed over" in text]
    assert f"{run.checkpoint(4).name}" in fault
    assert name == MANIFEST or name in fault
    assert weights(run) == weights(whole)
    assert [step.step for step in run.history().steps] == list(range(1, 7))
    assert run.newest_valid() == (6, [])
