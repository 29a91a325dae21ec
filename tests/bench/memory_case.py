"""One case of memory_matrix.py: the real engine trains, and its memory is read between phases.

python tests/bench/memory_case.py CASE DEVICE MODEL WORK REPLY
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 - a script finds its project first
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

import core.engine.run  # noqa: E402
from core import models  # noqa: E402
from core.dataset import inspect_data  # noqa: E402
from core.engine.emit import Voice  # noqa: E402
from core.engine.imitate import Imitate  # noqa: E402
from core.engine.recorder import Recorder  # noqa: E402
from core.engine.trainer import Trainer  # noqa: E402
from core.engine.wishes import Wishes  # noqa: E402
from core.machine import gpu_reading, read_machine  # noqa: E402
from core.plan import Facts, make_plan  # noqa: E402
from core.recipe import Recipe, parse  # noqa: E402
from core.rundir import RunDir  # noqa: E402
from tests.bench.memory_matrix import STEPS, Case, adaptation_of  # noqa: E402
from tests.engine.counting import watch_model  # noqa: E402

OPTIMIZERS = ("adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit")
KERNELS = {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION}


class Done(Exception):
    """Enough steps were measured; nothing has to be saved."""


class Meter(Protocol):
    """Reads the highest level since it was read last."""

    def begin(self, model: Any) -> Any:
        """What surrounds the steps."""
        ...

    def peak(self) -> int:
        """Most bytes allocated at once since the last call."""
        ...

    def summary(self) -> dict[str, object]:
        """What is known at the end beside the peaks of phases."""
        ...


class CudaMeter:
    """What torch and the driver count."""

    def __init__(self) -> None:
        self.reserved = 0

    def begin(self, model: Any) -> Any:
        return contextlib.nullcontext()

    def peak(self) -> int:
        torch.cuda.synchronize()
        self.reserved = max(self.reserved, torch.cuda.max_memory_reserved())
        found = int(torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()
        return found

    def summary(self) -> dict[str, object]:
        reading = gpu_reading()
        return {
            "reserved": self.reserved,
            "whole": reading.used if reading else None,
            "gpu": torch.cuda.get_device_name(),
        }


class CpuMeter:
    """Tensors alone, operation by operation."""

    def __init__(self) -> None:
        self._recorder = Recorder(hidden=False)
        self._sizes: dict[int, int] = {}
        self._level = self._read = 0

    def begin(self, model: Any) -> Any:
        watch_model(self._recorder, model)
        return self._recorder

    def peak(self) -> int:
        highest = self._level
        for event in self._recorder.events[self._read :]:
            self._level += event.size - self._sizes.pop(event.number, 0)
            if event.size:
                self._sizes[event.number] = event.size
            highest = max(highest, self._level)
        self._read = len(self._recorder.events)
        return highest

    def summary(self) -> dict[str, object]:
        return {}


class Measured(Trainer):
    """The engine's trainer, with the meter read after each phase."""

    meter: Meter
    peaks: dict[str, int]

    def train(self, *rest: Any, **named: Any) -> Any:
        with self.meter.begin(self.model):
            self._read("load")
            return super().train(*rest, **named)

    def compute_loss(self, *rest: Any, **named: Any) -> Any:
        loss = super().compute_loss(*rest, **named)
        self._read("forward")
        return loss

    def training_step(self, *rest: Any, **named: Any) -> Any:
        loss = super().training_step(*rest, **named)
        self._read("backward")
        return loss

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        self._read("optimizer_step")
        if self.state.global_step >= STEPS:
            raise Done

    def _read(self, phase: str) -> None:
        self.peaks[phase] = max(self.peaks.get(phase, 0), self.meter.peak())


def recipe_of(case: Case, device: str, model: Path, data: Path) -> Recipe:
    """Three steps of the case."""
    training = {
        "max_steps": STEPS, "micro_batch": case.rows, "accumulation": 1, "epochs": 1000,
        "max_length": case.length, "device": device, "learning_rate": 1e-6,
        "checkpointing": "on" if case.checkpointing else "off", "optimizer": case.optimizer,
    }  # fmt: skip
    return parse(
        {
            "model": str(model),
            "data": {"path": str(data), "heldout_share": 0.0},
            "adaptation": adaptation_of(case).model_dump(),
            "training": training,
            "checks": {"score_rows": 0},
        }
    )


def write_rows(data: Path, case: Case) -> None:
    """Rows that are all cut to the same length: no token of the starter has 24 letters."""
    row = json.dumps({"text": "a tailor sews " * (2 * case.length)})
    data.write_text(f"{row}\n" * case.rows * STEPS, encoding="utf-8")


def measure(case: Case, device: str, model: Path, work: Path) -> dict[str, object]:
    """Run the engine as a run does, but for the end, where nothing is saved."""
    work.mkdir(parents=True)
    data = work / "rows.jsonl"
    write_rows(data, case)
    recipe = recipe_of(case, device, model, data)
    facts = Facts(machine=read_machine(), model=models.look(model), data=inspect_data(data))
    plan = make_plan(recipe, facts)
    assert plan.settings is not None
    apart = plan.settings.model_copy(update={"padding_free": False})  # a case is so many rows
    plan = plan.model_copy(update={"settings": apart})
    run = RunDir.create(work / "run", recipe, plan.model_dump_json())
    Measured.meter = CudaMeter() if device == "cuda" else CpuMeter()
    Measured.peaks = {}
    with contextlib.suppress(Done), _as_asked(case), contextlib.closing(Voice(run)) as voice:
        core.engine.run.train(run, voice, Wishes(run, run.control().serial), None)
    peaks = Measured.peaks
    whole = {"outcome": "ok", "allocated": max(peaks.values()), "torch": torch.__version__}
    return peaks | whole | Measured.meter.summary()


@contextlib.contextmanager
def _as_asked(case: Case) -> Iterator[None]:
    """Measure, with the case's attention, of which the engine has no choice."""
    kernel = KERNELS.get(case.attention)
    attention = sdpa_kernel(kernel) if kernel else contextlib.nullcontext()
    with mock.patch.object(Imitate, "trainer", Measured), attention:
        yield


def main() -> None:
    case, device, model, work, reply = sys.argv[1:]
    found = measure(Case(**json.loads(case)), device, Path(model), Path(work))
    Path(reply).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
