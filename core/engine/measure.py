"""Trial steps on a run's longest and usual rows: what they take, and that they fit.

The run's own code trains in a folder that is thrown away. Nothing else is written, and no later
run knows of it: this is a process of its own.
"""

from __future__ import annotations

import contextlib
import copy
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import set_seed
from transformers.utils import logging as library_log

from core import models
from core.draft import Settings
from core.engine.emit import Voice, versions
from core.engine.faults import explain, out_of_memory
from core.engine.peak import forget_peak, peak_of_this_process
from core.engine.run import Job, build_trainer, open_job, read_rows
from core.engine.trainer import Watch, Watched
from core.engine.wishes import Wishes
from core.machine import gpu_used_by_this_process, read_machine
from core.memory.correction import device_name
from core.memory.measured import Measured, Trial, usual_trial
from core.plan import Plan
from core.portions import whole_groups
from core.recipe import Recipe
from core.rundir import RunDir

LONGEST, USUAL = 3, 2
"""Steps on the longest batches, where memory peaks, and then on usual ones, for the time."""
GATHERED = 2
"""Micro-batches per step, when the run gathers gradients at all: the second meets them."""


@dataclass
class Batches:
    """Which rows are tried, as row numbers."""

    longest: list[list[int]]
    usual: list[list[int]]
    typical: float
    """Tokens that an average batch of the run computes."""


def choose(lengths: Sequence[int], size: int, seed: int, *, joined: bool) -> Batches:
    """The batches of the longest rows, and the middle ones of those that chance makes.

    Rows of a batch are padded to its longest, or `joined` to one row if they are packed.
    """

    def weigh(batch: list[int]) -> int:
        sizes = [lengths[row] for row in batch]
        return sum(sizes) if joined else len(sizes) * max(sizes)

    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    longest = _cut(rows, size)[:LONGEST]
    random.Random(seed).shuffle(rows)
    usual = sorted(_cut(rows, size), key=weigh)
    start = max(0, (len(usual) - USUAL) // 2)
    return Batches(
        longest=[longest[turn % len(longest)] for turn in range(LONGEST)],
        usual=[usual[min(start + turn, len(usual) - 1)] for turn in range(USUAL)],
        typical=sum(map(weigh, usual)) / len(usual),
    )


def _cut(rows: Sequence[int], size: int) -> list[list[int]]:
    """Whole batches; a smaller last one is neither the longest nor usual."""
    return [list(rows[turn * size : (turn + 1) * size]) for turn in range(len(rows) // size)]


@dataclass
class Meter:
    """What was found so far; read also when memory runs out half-way."""

    cuda: bool
    where: str = "while the rows were read"
    trials: list[Trial] = field(default_factory=list)
    before: int = 0
    """Memory of the process just before the model is loaded."""

    def begin(self) -> None:
        """From here on memory of the computer counts; that of a GPU was not touched yet."""
        forget_peak()
        self.before = psutil.Process().memory_info().rss

    def clock(self) -> float:
        """The time, once the device has done all it was asked for."""
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def memory(self) -> dict[str, int | None]:
        """Peaks so far, in bytes, by the names of Measured."""
        host = peak_of_this_process()
        grown = max(0, host - self.before) if self.before else 0
        if not (self.cuda and torch.cuda.is_initialized()):
            return {"allocated_bytes": grown, "reserved_bytes": grown, "host_bytes": host}
        return {
            "allocated_bytes": torch.cuda.max_memory_allocated(),
            "reserved_bytes": torch.cuda.max_memory_reserved(),
            "used_bytes": gpu_used_by_this_process(),
            "host_bytes": host,
        }


class Attempt(Watched):
    """Goes in front of the run's trainer: rows in a fixed order, a clock, no evaluation."""

    meter: Meter

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:
        return SequentialSampler(train_dataset or self.train_dataset)

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        """Forward and backward, timed."""
        self.meter.where = f"in trial step {self.state.global_step + 1} of {LONGEST + USUAL}"
        begun, batch = self.meter.clock(), copy.copy(inputs)
        loss = super().training_step(model, inputs, *rest, **named)
        self._done = self.meter.clock()
        self._tried = _trial(self.batch_of(batch), self._done - begun)
        return loss

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        """After a step, and once more at the very end: nothing is told, saved or evaluated."""
        if len(self.meter.trials) < self.state.global_step:
            update = self.meter.clock() - self._done
            self.meter.trials.append(self._tried.model_copy(update={"update": update}))


def _trial(batch: dict[str, Any], seconds: float) -> Trial:
    """What a batch held: padding is what the mask leaves out; joined rows have no mask."""
    sides = ("",) if "input_ids" in batch else ("chosen_", "rejected_")
    ids = [batch[f"{side}input_ids"] for side in sides]
    masks = [batch.get(f"{side}attention_mask") for side in sides]
    rows, longest = sum(side.shape[0] for side in ids), max(side.shape[1] for side in ids)
    computed, starts = rows * longest, batch.get("cu_seq_lens_q")
    if starts is not None:
        rows, longest = len(starts) - 1, batch["max_length_q"]
    held = zip(ids, masks, strict=True)
    return Trial(
        rows=rows,
        longest=longest,
        tokens=sum(side.numel() if mask is None else int(mask.sum()) for side, mask in held),
        computed=computed,
        seconds=seconds,
    )


def measure(recipe: Recipe, settings: Settings, folder: Path) -> Measured:
    """Take the trial steps. Raises CoreError, library errors; running out of memory is an answer.

    A folder inside of `folder` is used and removed again.
    """
    library_log.disable_progress_bar()
    meter = Meter(cuda=settings.device == "cuda")
    typical, failure = 0.0, ("", "")
    with tempfile.TemporaryDirectory(prefix="trial-", dir=folder) as place:
        run = RunDir.create(Path(place) / "run", recipe, Plan(settings=settings).model_dump_json())
        with contextlib.closing(Voice(run)) as voice:
            try:
                typical = _try(open_job(run, voice, Wishes(run, 0)), meter)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                failure = explain(error)
    return _tell(recipe, settings, meter, typical, failure)


def _try(job: Job, meter: Meter) -> float:
    """Train on the chosen rows; returns what an average micro-batch of the run computes."""
    folder = models.resolve(job.recipe.model)
    joined = job.settings.packing or job.settings.padding_free
    tokenizer, lesson = read_rows(job, folder)
    data = _repeated(lesson.dataset(), job.recipe.objective.answers)
    lengths = lesson.lengths(data)
    size = min(job.settings.micro_batch, len(lengths))
    batches = choose(lengths, size, job.recipe.training.seed, joined=joined)
    chosen = batches.longest + batches.usual
    job.settings = _few(job.recipe, job.settings, size, len(chosen))
    rows = [row for batch in chosen for row in batch * job.settings.accumulation]
    meter.where = "while the model was loaded"
    job.recipe.adaptation.peft_config()  # loads a library, which is no part of the steps
    meter.begin()
    set_seed(job.recipe.training.seed)
    model = lesson.load(folder, job.settings)
    job.recipe.adaptation.prepare(model)
    set_seed(job.recipe.training.seed)
    kind: type[Attempt] = type("Trial", (Attempt, lesson.trainer), {})
    trainer = build_trainer(kind, job, _watch(job), model, tokenizer, lesson, data.select(rows))
    trainer.meter = meter
    trainer.make_large()
    trainer.train()
    return batches.typical


def _repeated(data: Dataset, times: int) -> Dataset:
    """Every row so often in a row: its answers are generated side by side."""
    if times == 1:
        return data
    return data.select([row for row in range(len(data)) for _ in range(times)])


def _few(recipe: Recipe, settings: Settings, size: int, steps: int) -> Settings:
    """The run's settings for a handful of steps; at a rate of 0 none of them can diverge."""
    return settings.model_copy(
        update={
            "micro_batch": size,
            "accumulation": whole_groups(recipe, min(settings.accumulation, GATHERED)),
            "steps": steps,
            "warmup_steps": 0,
            "learning_rate": 0.0,
        }
    )


def _watch(job: Job) -> Watch:
    return Watch(job.run, job.voice, job.wishes, job.settings, measure=None, probe=_unheard)


def _unheard(model: Any, step: int) -> None:
    """Nobody asks a trial for answers."""


def _tell(
    recipe: Recipe, settings: Settings, meter: Meter, typical: float, failure: tuple[str, str]
) -> Measured:
    machine = read_machine()
    limit = machine.gpus[0].total if meter.cuda and machine.gpus else machine.memory
    found = meter.memory()
    sentence, hint = failure
    if not sentence and meter.cuda and (found["reserved_bytes"] or 0) > limit:
        sentence = "The driver moved memory of the GPU into that of the computer."  # Windows does
    longest, median = tuple(meter.trials[:LONGEST]), tuple(meter.trials[LONGEST:])
    return Measured(
        fits=not sentence,
        failure=sentence,
        hint=hint,
        reached=meter.where if sentence else "",
        device=device_name(machine, cuda=meter.cuda),
        driver=machine.driver if meter.cuda else "",
        cuda=meter.cuda,
        adaptation=recipe.measured_as,
        limit_bytes=limit,
        **found,
        seconds_per_longest_step=_step(longest, settings),
        seconds_per_median_step=_step(median, settings),
        tokens_per_second=_pace(median, settings),
        typical_tokens=typical,
        longest=longest,
        median=median,
        versions=versions(),
        made=time.time(),
    )


def _step(trials: tuple[Trial, ...], settings: Settings) -> float | None:
    if not trials:
        return None
    usual = usual_trial(trials)
    return settings.accumulation * usual.seconds + usual.update


def _pace(median: tuple[Trial, ...], settings: Settings) -> float | None:
    step = _step(median, settings)
    return settings.accumulation * usual_trial(median).tokens / step if step else None
