"""TRL's trainer with a guard on every loss, checkpoints that are whole or absent, and ears."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
import transformers
from safetensors.torch import load_file, save_file

from core import disk, durable
from core.adapt import Adaptation
from core.draft import Settings
from core.engine.emit import Voice
from core.engine.faults import Diverged
from core.engine.guard import Alarm, Guard, forget_gradients, has_gradients, refuse_broken
from core.engine.patience import patient
from core.engine.smooth import Smooth
from core.engine.sparing import Sparing
from core.engine.state import Keeping
from core.engine.wishes import Wishes
from core.events import Evaluated, Paused, Reduced, Saved, Skipped
from core.retention import Retention
from core.rundir import RunDir

PAUSE_POLL = 0.2
TOLD = 20
"""Rows that are named of a step that was left out."""
TRAINED = "trained.safetensors"
"""All trained numbers of a checkpoint whose adapter file holds only what they make."""


@dataclass(frozen=True)
class Best:
    """The lowest cost so far, and how many evaluations did not beat it since."""

    step: int | None = None
    cost: float = float("inf")
    waited: int = 0

    def after(self, step: int, cost: float) -> Best:
        """The state after one more evaluation."""
        return Best(step, cost) if cost < self.cost else replace(self, waited=self.waited + 1)


@dataclass(frozen=True)
class Measure:
    """What a model makes of the held-out rows."""

    loss: float | None
    reward_accuracy: float | None = None
    """As in `core.events.Scored`."""
    metrics: dict[str, float] = field(default_factory=dict)
    """As in `core.events.Step`."""
    rewarded: int = 0
    """As in `core.events.Scored`."""

    @property
    def cost(self) -> float:
        """What the best checkpoint has least of: loss, or reward missed where there is none."""
        return -self.metrics["reward"] if self.loss is None else self.loss


@dataclass
class Watch:
    """What the trainer needs beyond TRL: where to save, whom to tell, what to measure."""

    run: RunDir
    voice: Voice
    wishes: Wishes
    settings: Settings
    measure: Callable[[Any], Measure] | None
    """What a model makes of the held-out rows; None when no rows are held out."""
    probe: Callable[[Any, int], None]
    """Answer the probe prompts and tell."""
    adaptation: Adaptation = field(default_factory=Adaptation)
    keep: int = 2
    patience: int | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    """What the run is made of, for the manifests of its checkpoints."""
    doubt: str = ""
    """As in `core.events.Saved`."""
    saved: int | None = None
    """The step of the newest checkpoint that this engine has written or gone on from."""
    guard: Guard = field(default_factory=Guard)
    places: Sequence[int | str] = ()
    """Where each row of the training set stands; empty where rows are joined."""
    best: Best = Best()
    stopped: bool = False
    early: bool = False

    @functools.cached_property
    def retention(self) -> Retention:
        """Which checkpoints may go."""
        return Retention(self.run, self.keep)


class Watched(Keeping, Sparing):
    """Goes in front of one of TRL's trainers: leaves out a step that would do harm, saves durably,
    obeys the user."""

    falls: ClassVar[bool] = True
    """Whether the loss falls as the model learns, so that one which rises is a bad sign."""
    control: Any
    state: Any

    def __init__(self, watch: Watch, **arguments: Any) -> None:
        self.watch = watch
        self._unread: list[tuple[int, Any]] = []
        self._left_out = False
        super().__init__(**arguments)
        for parameter in self.model.parameters():
            if parameter.requires_grad:  # TRL rounds adapters over 4-bit bases to bfloat16
                parameter.data = parameter.data.float()

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        """TRL's loss, kept where it is: to look at each would make the device wait for Python."""
        loss = super().compute_loss(model, inputs, *rest, **named)
        if self._share < 1 and named.get("num_items_in_batch") is None:
            loss = loss * self._share  # a mean over the part counts as much as the part
        self._unread.append((self._at, loss.detach()))
        return self._with_penalty(model, loss) if model.training else loss

    def _with_penalty(self, model: Any, loss: Any) -> Any:
        """An adaptation's own term moves weights; the loss that is told stays that of the rows."""
        penalty = self.watch.adaptation.penalty(self.accelerator.unwrap_model(model))
        if penalty is None:
            return loss
        share = self.current_gradient_accumulation_steps if self.model_accepts_loss_kwargs else 1
        return loss + (penalty - penalty.detach()) * self._share / share

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        """Asked for before each update, whether gradients are clipped or not; looks at the device
        once, for the losses of all batches and for the gradient."""
        norm = torch.as_tensor(super()._get_grad_norm(model, grad_norm))
        batches, losses = zip(*self._unread, strict=True)
        *found, length = torch.stack([*(loss.to(norm) for loss in losses), norm]).tolist()
        self._unread = []
        fault = self.watch.guard.fault(list(zip(batches, found, strict=True)), length)
        self._left_out = fault is not None
        if fault:
            forget_gradients(self.optimizer)
            self._tr_loss.zero_()  # what is added to NaN stays NaN
            rows = self.rows_of(fault.batches) if self.watch.places else []
            places = tuple(self.watch.places[row] for row in rows[:TOLD])
            step = self.state.global_step + 1
            self.watch.voice.say(Skipped(step=step, what=fault.what, rows=places))
        return float(length)

    def log(self, logs: dict[str, float], *rest: Any, **named: Any) -> None:
        """The library's figures; a step that was left out has no loss."""
        if "loss" in logs and self._left_out:
            logs = {name: logs[name] for name in logs.keys() - {"loss", "grad_norm"}}
            super().log(logs, *rest, **named)
            self.state.log_history.pop()  # others of its figures may be no numbers either
            return
        if "loss" in logs and self.falls:
            self.watch.guard.taken(self.state.global_step, logs["loss"])
        super().log(logs, *rest, **named)

    def forget_losses(self) -> None:
        """The losses of this step so far are computed again."""
        self._unread = []

    def may_recompute(self) -> bool:
        """Some adaptations do not go together with gradient checkpointing."""
        return self.watch.adaptation.recomputes

    def told_reduced(self, rows: int) -> None:
        """Say it, so that a resumed run begins where this one has come to."""
        step = self.state.global_step + 1
        self.watch.voice.say(
            Reduced(step=step, parts=self.parts, rows=rows, recomputed=self.recomputed)
        )

    def _diverged(self, what: str, reason: str = "") -> Diverged:
        step = self.state.global_step + (not reason)
        return Diverged(what, step, self.watch.settings.learning_rate, reason)

    def batch_of(self, inputs: Any) -> dict[str, Any]:
        """What the model reads in a step that was given these inputs, and has just been taken."""
        return dict(inputs)

    def make_large(self) -> None:
        """Let every step be as large as any can be, for trials of the memory."""

    def evaluate(self, *unused: Any, **named: Any) -> dict[str, float]:
        """The held-out rows measured, told and remembered."""
        assert self.watch.measure is not None
        step, found = self.state.global_step, self.watch.measure(self.model)
        if not math.isfinite(found.cost):
            raise self._diverged("held-out loss")
        self.watch.best = self.watch.best.after(step, found.cost)
        best = self.watch.best.step == step
        self.watch.voice.say(Evaluated(step=step, best=best, **vars(found)))
        self.watch.probe(self.model, step)
        metrics = {"eval_loss": found.cost}
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        patience = self.watch.patience
        enough = patience is not None and self.watch.best.waited >= patience
        self.watch.early = enough and step < self.state.max_steps
        if best or self.watch.early:
            self.control.should_save = True
        return metrics

    def _maybe_log_save_evaluate(self, *arguments: Any, **named: Any) -> None:
        """Called by the library after each step: add what is due, then obey the user."""
        fresh = self.state.global_step > self._globalstep_last_logged
        if fresh:
            self._what_is_due()
        super()._maybe_log_save_evaluate(*arguments, **named)
        if fresh:
            self._obey()

    def _what_is_due(self) -> None:
        step, settings = self.state.global_step, self.watch.settings
        last = step >= self.state.max_steps
        if self.watch.measure is not None and (last or step % settings.every == 0):
            self.control.should_evaluate = True
        if last or (step % settings.save_every == 0 and not self.watch.guard.doubtful):
            self.control.should_save = True

    def _obey(self) -> None:
        if self.watch.early:
            self.control.should_training_stop = True
            return
        alarm = self.watch.guard.alarm()
        paused = alarm is not None and self._tell_paused(True, self._way_on(alarm))
        while True:
            match self.watch.wishes.next():
                case "stop" if alarm:
                    raise self._diverged("loss", alarm.reason)
                case "stop":
                    self._stop()
                    return
                case "checkpoint":
                    self.save_now()
                case "sample":
                    self.watch.probe(self.model, self.state.global_step)
                case "pause":
                    paused = self._tell_paused(True)
                case "continue" if paused:
                    paused = self._tell_paused(False)
                    if alarm:
                        self.watch.guard.forgive()
                        alarm = None
            if not paused:
                return
            time.sleep(PAUSE_POLL)

    def _stop(self) -> None:
        self.save_now()
        if self.state.global_step < self.state.max_steps:
            self.watch.stopped = True
            self.control.should_training_stop = True

    def _way_on(self, alarm: Alarm) -> str:
        """Why the run waits, and what there is to go back to."""
        saved = self.watch.run.saved_steps()
        back = (
            f"what was saved at step {saved[0]:,}" if saved else "the start: nothing is saved yet"
        )
        return (
            f"{alarm.reason} All was well up to step {alarm.good:,}. Continue takes further steps; "
            f"stop goes back to {back}."
        )

    def _tell_paused(self, paused: bool, reason: str = "") -> bool:
        step = self.state.global_step
        self.watch.voice.say(Paused(step=step, paused=paused, reason=reason))
        return paused

    def save_now(self) -> None:
        """Save this step unless it is saved already."""
        if self.watch.saved != self.state.global_step:
            self._save_checkpoint(self.model, None)

    @patient
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write aside, seal, rename, tell; then let go of older ones."""
        step, best = self.state.global_step, self.watch.best
        refuse_broken(self.model, step, self.watch.settings.learning_rate)
        final = self.watch.run.checkpoint(step)
        self.watch.voice.secure()
        with durable.staged(final) as aside:
            self._staging = aside
            # not TRL's, which first writes a card about the model
            transformers.Trainer._save_checkpoint(self, model, trial)
            _lift(aside / f"checkpoint-{step}", aside)
            if self.watch.adaptation.reparametrised:
                save_file(
                    {name: weight.data for name, weight in _trained(self.model)}, aside / TRAINED
                )
            size = durable.seal(
                aside, step=step, best_step=best.step, best_loss=best.cost if best.step else None,
                waited=best.waited, origin=self.watch.origin, doubt=self.watch.doubt,
            )  # fmt: skip
        self.watch.saved, path = step, final.relative_to(self.watch.run.root).as_posix()
        self.watch.voice.say(
            Saved(step=step, path=path, bytes=size, best=best.step == step, doubt=self.watch.doubt)
        )
        self.watch.retention.trust(step)
        self.watch.retention.let_go(best.step)

    def _load_from_checkpoint(self, folder: str, model: Any = None) -> None:
        """Everything that was trained, also what an adapter file leaves out."""
        kept = Path(folder) / TRAINED
        if not kept.exists():
            super()._load_from_checkpoint(folder, model)
            return
        found = load_file(kept)
        for name, weight in _trained(model or self.model):
            weight.data.copy_(found[name])

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(getattr(self, "_staging", self.args.output_dir))


class Trainer(Watched, Smooth):
    """Supervised fine-tuning."""


class Adapting(transformers.TrainerCallback):  # type: ignore[misc]
    """Lets an adaptation act when the optimizer has taken a step and gradients are still there."""

    def __init__(self, adaptation: Adaptation) -> None:
        self._adaptation = adaptation

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The step that was just taken is not counted yet."""
        model, optimizer = given["model"], given["optimizer"]
        if not has_gradients(model):  # the step was left out
            return
        self._adaptation.after_step(model, optimizer, state.global_step + 1, state.max_steps)


def _trained(model: Any) -> list[tuple[str, Any]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


def _lift(inner: Path, outer: Path) -> None:
    """Move what the library wrote one folder up; its pickled arguments stay behind for good."""
    with suppress(FileNotFoundError):
        disk.current.unlink(inner / "training_args.bin")
    for path in inner.iterdir():
        disk.current.rename(path, outer / path.name)
    disk.current.rmdir(inner)


def remembered(run: RunDir, step: int) -> Best:
    """What a checkpoint knows of the best one. Raises OSError or ValueError."""
    facts = durable.read_manifest(run.checkpoint(step))
    if facts.get("best_step") is None:
        return Best()
    return Best(int(facts["best_step"]), float(facts["best_loss"]), int(facts["waited"]))


def pick_best(run: RunDir, best: Best, last: int) -> tuple[int, str | None]:
    """The step whose weights are the result, and why it is not the best one if so."""
    if best.step is None or best.step == last:
        return last, None
    fault = durable.verify(run.checkpoint(best.step), alone=True)
    return (best.step, None) if fault is None else (last, fault)
