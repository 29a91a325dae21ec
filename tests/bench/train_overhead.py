"""What our engine costs beside a bare script of TRL, and what its defaults gain over TRL's.

    OMP_NUM_THREADS=1 python tests/bench/train_overhead.py [--device cuda] [--model FOLDER]

First both train with the very same settings: same rows, order, optimizer and seed; everything the
engine adds (events, guards, looking for wishes) is inside of the time. Then each trains as it does
when nobody chooses anything, on rows that differ in length; TRL computes in 32 bits on a processor
as we do, since its default there, emulated bfloat16, would only make it slower. Every comparison
runs A-B-B-A in one process, on a processor in CPU seconds; the best round of each counts, and the
losses of both must agree, or the result is void. Writes train_overhead.json beside itself.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 - a script finds its project first
from transformers import AutoModelForCausalLM, TrainerCallback, set_seed  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

from core import mixing, models  # noqa: E402
from core.engine.arguments import arguments  # noqa: E402
from core.engine.emit import Voice, versions  # noqa: E402
from core.engine.run import Job, _make_trainer, open_job, read_rows  # noqa: E402
from core.engine.wishes import Wishes  # noqa: E402
from core.machine import read_machine  # noqa: E402
from core.places import sample  # noqa: E402
from core.plan import Facts, make_plan  # noqa: E402
from core.recipe import Recipe, parse  # noqa: E402
from core.rundir import RunDir  # noqa: E402

RESULT = Path(__file__).with_suffix(".json")
ROUNDS, STEPS, WARM = 3, 8, 2
"""Rounds of A-B-B-A, steps of each run, and how many of them are not counted."""
SAME = 1e-4
"""Losses may differ by so much, relatively."""
GOAL = 0.98


class Found(NamedTuple):
    """A run: seconds of its counted steps, tokens they read, losses of all steps."""

    seconds: float
    tokens: float
    losses: list[float]


class Clock(TrainerCallback):  # type: ignore[misc]
    """Time from the first counted step to the very last word about the last step."""

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self.begun: list[float] = []
        self.losses: list[float] = []
        self.tokens: list[float] = []

    def now(self) -> float:
        """CPU seconds, or on a GPU seconds by the wall once it has done all its work."""
        if not self._cuda:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def on_step_begin(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        """Only the ends wait for a GPU."""
        if state.global_step == WARM:
            self.begun.append(self.now())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **named: Any) -> None:
        """Called after everybody else has heard of the step."""
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])
            self.tokens.append(logs["num_tokens"])
        if logs and "loss" in logs and state.global_step == state.max_steps:
            self.begun.append(self.now())

    def found(self) -> Found:
        """What was measured."""
        first, last = self.begun
        return Found(last - first, self.tokens[-1] - self.tokens[WARM - 1], self.losses)


def rows_of_many_lengths(path: Path) -> None:
    """Chats of one to many sample tickets, most of them short, as in everyday data."""
    draw = random.Random(0)
    lines = sample("tickets.jsonl").read_text(encoding="utf-8").splitlines()
    tickets = [json.loads(line) for line in lines]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(300):
            picked = draw.sample(tickets, 1 + int(7 * draw.random() ** 3))
            messages = [message for ticket in picked for message in ticket["messages"]]
            chat = [message for message in messages[1:] if message["role"] != "system"]
            file.write(json.dumps({"messages": chat}) + "\n")


def recipe_for(model: str, data: Path, device: str, kind: str) -> Recipe:
    """Everything else is automatic."""
    return parse(
        {
            "model": model,
            "data": {"path": str(data), "heldout_share": 0},
            "adaptation": {"kind": kind},
            "training": {
                "max_steps": STEPS, "device": device, "accumulation": 1, "learning_rate": 1e-4,
            },
            "checks": {"score_rows": 0, "every": 1000, "save_every": 1000},
        }
    )  # fmt: skip


def job_for(recipe: Recipe, folder: Path, **changes: Any) -> Job:
    """A run as the engine opens it, with settings of the plan changed."""
    facts = Facts(
        machine=read_machine(),
        model=models.look(models.resolve(recipe.model)),
        **dict(mixing.look(recipe.data)),
    )
    run = RunDir.create(folder, recipe, make_plan(recipe, facts).model_dump_json())
    job = open_job(run, Voice(run), Wishes(run, 0))
    job.settings = job.settings.model_copy(update=changes)
    return job


def ours(recipe: Recipe, **changes: Any) -> Found:
    """Our engine, from its rows to its last step."""
    with tempfile.TemporaryDirectory() as place:
        job = job_for(recipe, Path(place) / "run", **changes)
        folder = models.resolve(recipe.model)
        tokenizer, lesson = read_rows(job, folder)
        set_seed(recipe.training.seed)
        trainer = _make_trainer(job, lesson.load(folder, job.settings), tokenizer, lesson)
        return _timed(trainer, recipe)


def theirs(recipe: Recipe, chosen: dict[str, Any]) -> Found:
    """The script that TRL's documentation has, on the same rows with the same trained tokens."""
    with tempfile.TemporaryDirectory() as place:
        job = job_for(recipe, Path(place) / "run")
        folder = models.resolve(recipe.model)
        tokenizer, lesson = read_rows(job, folder)
        set_seed(recipe.training.seed)
        cuda = job.settings.device == "cuda"
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.bfloat16 if job.settings.bf16 else torch.float32,
                device_map={"": 0} if cuda else None,
            ),
            args=SFTConfig(**(_usual(job, place) | chosen)),
            train_dataset=lesson.dataset(),
            processing_class=tokenizer,
            peft_config=recipe.adaptation.peft_config(),
        )  # fmt: skip
        return _timed(trainer, recipe)


def _usual(job: Job, place: str) -> dict[str, Any]:
    """What has to be said in any case; all the rest is TRL's choice."""
    return {
        "output_dir": place, "max_steps": STEPS, "report_to": "none", "save_strategy": "no",
        "per_device_train_batch_size": job.settings.micro_batch, "logging_steps": 1,
        "learning_rate": job.settings.learning_rate, "max_length": job.settings.max_length,
        "seed": 0, "use_cpu": job.settings.device == "cpu", "bf16": job.settings.bf16,
        "disable_tqdm": True, "dataset_kwargs": {"skip_prepare_dataset": True},
    }  # fmt: skip


def same_settings(recipe: Recipe) -> dict[str, Any]:
    """The engine's arguments, for TRL's own trainer."""
    with tempfile.TemporaryDirectory() as place:
        job = job_for(recipe, Path(place) / "run")
        common = arguments(recipe, job.settings, Path(place))
    return {name: value for name, value in common.items() if name != "output_dir"}


def _timed(trainer: Any, recipe: Recipe) -> Found:
    clock = Clock(recipe.training.device)
    trainer.add_callback(clock)
    trainer.train()
    return clock.found()


class Compared(NamedTuple):
    """Tokens per second of both at their best, and how far their losses lie apart."""

    ours: float
    theirs: float
    apart: float

    @property
    def ratio(self) -> float:
        """How many times as fast as TRL we are."""
        return self.ours / self.theirs


def compare(mine: Callable[[], Found], other: Callable[[], Found], rounds: int) -> Compared:
    """A-B-B-A, so that what slows a machine down for a while hits both."""
    a, b = [], []
    for _ in range(rounds):
        a.append(mine())
        b += [other(), other()]
        a.append(mine())
    ours, theirs = (max(each.tokens / each.seconds for each in runs) for runs in (a, b))
    pairs = zip(a[0].losses, b[0].losses, strict=True)
    return Compared(ours, theirs, max(abs(x - y) / abs(y) for x, y in pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "rows.jsonl"
        rows_of_many_lengths(data)
        for kind in ("lora", "full"):
            for row in study(recipe_for(asked.model, data, asked.device, kind), asked.rounds):
                found.append(row)
                write(asked, found)


def write(asked: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    """All that was measured so far, so that a run that is cut off loses nothing."""
    result = {
        "command": f"OMP_NUM_THREADS=1 python tests/bench/train_overhead.py {_options(asked)}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if asked.device == "cuda" else platform.machine(),
        "versions": versions(),
        "goal_same_settings": GOAL,
        "runs": found,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _options(asked: argparse.Namespace) -> str:
    return f"--device {asked.device} --model {asked.model} --rounds {asked.rounds}"


def study(recipe: Recipe, rounds: int) -> Iterator[dict[str, Any]]:
    """The three comparisons of one method."""
    mine = functools.partial(ours, recipe)
    padded = functools.partial(ours, recipe, packing=False, padding_free=False)
    cases = {
        "same settings, padded": (padded, same_settings(recipe)),
        "our defaults, TRL's without checkpointing": (mine, {"gradient_checkpointing": False}),
        "our defaults, TRL's defaults": (mine, {}),
    }
    for name, (run, chosen) in cases.items():
        made = compare(run, functools.partial(theirs, recipe, chosen), rounds)
        same = name.startswith("same")
        row = {
            "case": name, "method": recipe.adaptation.kind, "ratio": round(made.ratio, 3),
            "our_tokens_per_second": round(made.ours), "trl_tokens_per_second": round(made.theirs),
            "losses_apart": float(f"{made.apart:.1g}"),
            "valid": made.apart <= SAME if same else "schedules and optimizers differ by default",
        }  # fmt: skip
        print(row, flush=True)
        yield row


if __name__ == "__main__":
    main()
