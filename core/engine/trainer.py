"""TRL's trainer with a guard on every loss, checkpoints that are whole or absent, and ears."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from trl import SFTTrainer

from core import durable
from core.draft import Settings
from core.engine.emit import Voice
from core.engine.faults import Diverged
from core.engine.wishes import Wishes
from core.events import Evaluated, Paused, Saved
from core.rundir import RunDir

PAUSE_POLL = 0.2


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
    keep: int = 2
    patience: int | None = None
    best: Best = Best()
    stopped: bool = False
    early: bool = False


class Watched(transformers.Trainer):  # type: ignore[misc]
    """Goes in front of one of TRL's trainers: refuses a bad loss, saves durably, obeys the user."""

    control: Any
    state: Any

    def __init__(self, watch: Watch, **arguments: Any) -> None:
        self.watch = watch
        super().__init__(**arguments)
        for parameter in self.model.parameters():
            if parameter.requires_grad:  # TRL rounds adapters over 4-bit bases to bfloat16
                parameter.data = parameter.data.float()

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
        """TRL's loss; a value that is not finite ends the run before it reaches a gradient."""
        loss = super().compute_loss(model, inputs, *rest, **named)
        if not torch.isfinite(loss).all():
            raise self._diverged("loss")
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        if not torch.isfinite(torch.as_tensor(norm)):
            raise self._diverged("gradient")
        return norm

    def _diverged(self, what: str) -> Diverged:
        return Diverged(what, self.state.global_step + 1, self.watch.settings.learning_rate)

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
        if last or step % settings.save_every == 0:
            self.control.should_save = True

    def _obey(self) -> None:
        if self.watch.early:
            self.control.should_training_stop = True
            return
        paused = False
        while True:
            match self.watch.wishes.next():
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
            if not paused:
                return
            time.sleep(PAUSE_POLL)

    def _stop(self) -> None:
        self.save_now()
        if self.state.global_step < self.state.max_steps:
            self.watch.stopped = True
            self.control.should_training_stop = True

    def _tell_paused(self, paused: bool) -> bool:
        self.watch.voice.say(Paused(step=self.state.global_step, paused=paused))
        return paused

    def save_now(self) -> None:
        """Save this step unless it is saved already."""
        if not self.watch.run.checkpoint(self.state.global_step).exists():
            self._save_checkpoint(self.model, None)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write aside, seal, rename, tell; then let go of older ones."""
        step, best = self.state.global_step, self.watch.best
        final = self.watch.run.checkpoint(step)
        with durable.staged(final) as aside:
            self._staging = aside
            # not TRL's, which first writes a card about the model
            transformers.Trainer._save_checkpoint(self, model, trial)
            _lift(aside / f"checkpoint-{step}", aside)
            size = durable.seal(
                aside, step=step, best_step=best.step, best_loss=best.cost if best.step else None,
                waited=best.waited,
            )  # fmt: skip
        path = final.relative_to(self.watch.run.root).as_posix()
        self.watch.voice.say(Saved(step=step, path=path, bytes=size, best=best.step == step))
        self._let_go()

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(getattr(self, "_staging", self.args.output_dir))

    def _let_go(self) -> None:
        kept = self.watch.run.saved_steps()
        for step in kept[self.watch.keep :]:
            if step != self.watch.best.step:
                durable.discard(self.watch.run.checkpoint(step))


class Trainer(Watched, SFTTrainer):  # type: ignore[misc]
    """Supervised fine-tuning."""


def _lift(inner: Path, outer: Path) -> None:
    """Move what the library wrote one folder up; its pickled arguments stay behind for good."""
    (inner / "training_args.bin").unlink(missing_ok=True)
    for path in inner.iterdir():
        path.rename(outer / path.name)
    inner.rmdir()


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
    fault = durable.verify(run.checkpoint(best.step))
    return (best.step, None) if fault is None else (last, fault)
