"""Training steps on a model without numbers, in the order of our trainer or of a plain loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch.nn.functional import logsigmoid
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import add_fused_lm_head, use_adapter

from core.engine.meta_optim import make_optimizer
from core.engine.optimizers import layers_of
from core.engine.recorder import OUTPUT, Recorder
from core.memory.setup import Setup

METRICS = {
    "sft": ("log_probs", "entropy", "is_top1"),
    "dpo": ("log_probs", "entropy", "mean_logits", "is_top1"),
}
"""What TRL's SFTTrainer and DPOTrainer ask their fused output layer for."""
BETA = 0.1
MICRO_BATCHES = 2
"""The second batch of an accumulation meets gradients; all further ones are like it."""


class Precision(Protocol):
    """Autocast: around a forward pass, and around layers that backward computes again."""

    def autocast(self) -> AbstractContextManager[None]:
        """What surrounds the forward pass of a model."""
        ...

    def again(self) -> AbstractContextManager[None]:
        """What surrounds a layer that is computed again."""
        ...


def prepare(model: Any, setup: Setup, recorder: Recorder, precision: Precision) -> None:
    """Everything a trainer does to a model before the first step."""
    model.train()
    adapted = hasattr(model, "peft_config")
    base = model.get_base_model() if adapted else model
    if setup.checkpointing:
        model.gradient_checkpointing_enable(_again(precision))
        if adapted:
            model.enable_input_require_grads()
    if setup.engine == "trl" and setup.loss == "fused":
        add_fused_lm_head(base, outputs=METRICS[setup.objective])
    _tell_places(base, recorder)


def _again(precision: Precision) -> dict[str, Any]:
    """How layers are computed again."""
    return {
        "use_reentrant": False,
        "context_fn": lambda: (nullcontext(), precision.again()),
    }


def _tell_places(base: Any, recorder: Recorder) -> None:
    """Hooks that look and change nothing."""
    layers = layers_of(base)
    for number, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda *_, name=f"layer {number}": recorder.enter(name))
    layers[-1].register_forward_hook(lambda *_: recorder.enter(OUTPUT))


class Trained:
    """The weights that the optimizer works on."""

    def __init__(self, model: Any) -> None:
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]

    def gradients(self) -> list[torch.Tensor]:
        """Those that are there."""
        return [weight.grad for weight in self.weights if weight.grad is not None]

    def exchange(self, *, now: bool) -> None:
        """Whether the next backward ends with gradients from all GPUs."""

    def settle(self) -> None:
        """Before the update: all gradients are at their weights."""


class Steps:
    """Runs optimizer steps; gradients are told from other memory when backward is over."""

    def __init__(
        self, model: Any, trained: Trained, setup: Setup, recorder: Recorder, precision: Precision
    ) -> None:
        self.model, self.trained, self.setup = model, trained, setup
        self.recorder, self.precision = recorder, precision
        self.optimizer = make_optimizer(setup.optimizer, model, trained.weights, cuda=setup.cuda)

    def run(self) -> None:
        """One optimizer step: forward and backward of every batch, clipping, update."""
        last = min(self.setup.accumulation, MICRO_BATCHES) - 1
        for number in range(last + 1):
            self.trained.exchange(now=number == last)
            self._micro_batch()
        self.trained.settle()
        with self.recorder.during("optimizer"):
            torch.nn.utils.clip_grad_norm_(self.trained.weights, 1.0, foreach=True)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def _micro_batch(self) -> None:
        with self.recorder.during("forward"):
            loss, kept = self._loss()
        with self.recorder.during("backward"):
            loss.backward()
        del loss, kept
        self.recorder.rename(self.trained.gradients(), "gradients")

    def _loss(self) -> tuple[torch.Tensor, Any]:
        """The loss, and what the loop still holds while backward runs."""
        inputs = self._inputs()
        if self.setup.engine == "plain":
            outputs = self.model(**inputs, use_cache=False)
            return outputs.loss, outputs
        if self.setup.objective == "dpo":
            return self._dpo_loss(inputs), None
        return self._trl_loss(inputs), None

    def _trl_loss(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """SFTTrainer.compute_loss without what only counts and logs."""
        total = torch.ones((), dtype=torch.int64, device=self.device)
        call = functools.partial(self.model, **inputs, use_cache=False)
        with self.precision.autocast():
            if self.setup.loss == "fused":
                outputs = call(fused_lm_head=True)
            else:
                outputs = call(num_items_in_batch=total)
        if self.setup.loss == "logits":
            outputs.logits = outputs.logits.float()  # accelerate's convert_outputs_to_fp32
            return outputs.loss / self.setup.accumulation
        return (-outputs.log_probs).sum() / total.clamp(min=1)

    def _dpo_loss(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """DPOTrainer._compute_loss without what only counts and logs."""
        scored = inputs.pop("completion_mask")
        labels = inputs["input_ids"].masked_fill(scored == 0, -100)
        call = functools.partial(
            self.model, **inputs, labels=labels, use_cache=False, fused_lm_head=True
        )
        with self.precision.autocast():
            outputs = call()
        now, before = outputs.log_probs.sum(dim=1), self._reference(call)
        chosen, rejected = (now - before).chunk(2, dim=0)
        return -logsigmoid(BETA * (chosen - rejected)).mean() / self.setup.accumulation

    def _reference(self, call: Callable[[], Any]) -> torch.Tensor:
        """Log-likelihoods under the base; in full fine-tuning they were taken before the start."""
        if not hasattr(self.model, "peft_config"):
            return torch.zeros(2 * self.setup.rows, device=self.device)
        with (
            torch.no_grad(),
            disable_gradient_checkpointing(self.model, _again(self.precision)),
            use_adapter(self.model, None),
            self.precision.autocast(),
        ):
            reference = call()
        return reference.log_probs.sum(dim=1)

    @property
    def device(self) -> torch.device:
        """Where the model is: on meta, or in a test on the processor."""
        return self.trained.weights[0].device

    def _inputs(self) -> dict[str, torch.Tensor]:
        paired = self.setup.objective == "dpo"
        shape = (self.setup.rows * (1 + paired), self.setup.length)
        ids = torch.zeros(shape, dtype=torch.int64, device=self.device)
        inputs = {"input_ids": ids, "completion_mask" if paired else "labels": ids.clone()}
        if self.setup.padded or self.setup.engine == "trl":
            inputs["attention_mask"] = torch.ones_like(ids)
        return inputs
