"""Optimizers: those the libraries have names for, and those they have none for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
import transformers
from peft.optimizers import create_loraplus_optimizer

from core.choices import PROJECTED, Training
from core.draft import Settings
from core.engine.projected import Projected
from core.errors import RunError

NAMES = {"paged_adamw": "paged_adamw_32bit", "lion": "lion_32bit"}
"""What transformers calls them, where it has a name of its own."""
MOMENTUM_OF_LION = 0.99
"""beta2 of Lion's paper (arXiv 2302.06675); transformers would hand it Adam's."""


def optimizer_name(settings: Settings) -> str:
    """How transformers calls an optimizer; beside those for matrices works AdamW."""
    chosen = settings.optimizer
    if chosen in ("adamw", "muon", *PROJECTED):
        return "adamw_torch_fused" if settings.device == "cuda" else "adamw_torch"
    return NAMES.get(chosen, chosen)


def second_beta(training: Training) -> float:
    """beta2, chosen or usual."""
    if training.beta2 is not None:
        return training.beta2
    return MOMENTUM_OF_LION if training.optimizer.startswith("lion") else 0.999


class Optimized(transformers.Trainer):  # type: ignore[misc]
    """A trainer that knows optimizers for matrices, LoRA+ and embeddings with a learning rate of
    their own."""

    chosen: Training = Training()
    """Set before training begins."""
    optimizer: Any

    def create_optimizer(self, model: Any = None) -> Any:
        """The library's own optimizer unless the recipe asks for more. Raises RunError."""
        if self.optimizer is None:
            model = self.model if model is None else model
            if self.chosen.optimizer == "muon":
                self.optimizer = self._beside_adamw(MuonAndAdamW, model)
            elif self.chosen.optimizer in PROJECTED:
                kind = functools.partial(ProjectedAndAdamW, self.chosen)
                self.optimizer = self._beside_adamw(kind, model)
            elif self.chosen.lora_plus:
                self.optimizer = self._lora_plus(model, self.chosen.lora_plus)
            else:
                super().create_optimizer(model)
            if self.chosen.embedding_rate:
                self._part_embeddings(model, self.chosen.embedding_rate)
        return self.optimizer

    def _beside_adamw(self, kind: Callable[..., BesideAdamW], model: Any) -> BesideAdamW:
        decayed = set(self.get_decay_parameter_names(model))
        _, settings = self.get_optimizer_cls_and_kwargs(self.args, model)
        return kind(model, decayed.__contains__, self.args.weight_decay, **settings)

    def _lora_plus(self, model: Any, ratio: float) -> Any:
        """PEFT's; without a word of ours it would give adapters of embeddings a rate of 1e-6."""
        kind, settings = self.get_optimizer_cls_and_kwargs(self.args, model)
        return create_loraplus_optimizer(
            model,
            kind,
            loraplus_lr_ratio=ratio,
            loraplus_weight_decay=self.args.weight_decay,
            loraplus_lr_embedding=self.args.learning_rate,
            **settings,
        )

    def _part_embeddings(self, model: Any, rate: float) -> None:
        """Trial steps have a rate of 0, which holds for all weights."""
        weights = {id(weight) for weight in embeddings(model) if weight.requires_grad}
        if not weights:
            raise RunError(
                "Neither embeddings nor the output head are trained, and training.embedding_rate "
                "gives them a learning rate.",
                hint="Leave training.embedding_rate empty.",
            )
        part(self.optimizer, weights, rate if self.args.learning_rate else 0.0)


def embeddings(model: Any) -> Iterable[torch.nn.Parameter]:
    """The weights of the embeddings and of the output head."""
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    for module in (base.get_input_embeddings(), base.get_output_embeddings()):
        if module is not None:
            yield from module.parameters()


def part(optimizer: torch.optim.Optimizer, weights: set[int], rate: float) -> None:
    """Move weights, given by id, to groups of their own that differ in the learning rate alone."""
    for group in tuple(optimizer.param_groups):
        moved = [weight for weight in group["params"] if id(weight) in weights]
        if moved:
            group["params"] = [weight for weight in group["params"] if id(weight) not in weights]
            optimizer.add_param_group({**group, "params": moved, "lr": rate})


def layers_of(model: Any) -> torch.nn.ModuleList:
    """The layers of a model: its longest list of modules."""
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=len)


def matrices(model: Any) -> list[torch.nn.Parameter]:
    """The trained matrices inside of the layers, which some optimizers are made for."""
    inner = layers_of(model).parameters()
    return [weight for weight in inner if weight.requires_grad and weight.ndim == 2]


class BesideAdamW(torch.optim.Optimizer):  # type: ignore[misc]
    """An optimizer for the matrices inside of the layers, AdamW for all else."""

    def __init__(
        self,
        make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer],
        model: Any,
        decays: Callable[[str], bool],
        weight_decay: float,
        **adamw: Any,
    ) -> None:
        inner = matrices(model)
        known = {id(weight) for weight in inner}
        named = [
            (name, weight)
            for name, weight in model.named_parameters()
            if weight.requires_grad and id(weight) not in known
        ]
        rest: list[dict[str, Any]] = [
            {"params": [w for n, w in named if decays(n)], "weight_decay": weight_decay},
            {"params": [w for n, w in named if not decays(n)], "weight_decay": 0.0},
        ]
        self._inner, self._adamw = make(inner), torch.optim.AdamW(rest, **adamw)
        self._own = self._inner.defaults.keys() - self._adamw.defaults.keys()
        groups = [*self._inner.param_groups, *self._adamw.param_groups]
        super().__init__(groups, self._adamw.defaults)  # for groups that are added later

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """One step of both, on the states and groups of this one, which a checkpoint holds."""
        for optimizer, mine in ((self._inner, True), (self._adamw, False)):
            optimizer.state = self.state
            optimizer.param_groups = [g for g in self.param_groups if self.is_inner(g) is mine]
            optimizer.step()

    def is_inner(self, group: dict[str, Any]) -> bool:
        """Whether a group holds matrices inside of the layers."""
        return bool(self._own <= group.keys())


class MuonAndAdamW(BesideAdamW):
    """Muon for the matrices inside of the layers.

    Its steps are scaled to the length of AdamW's, so that AdamW's learning rates hold for both
    (Liu et al. 2025, arXiv 2502.16982).
    """

    def __init__(
        self, model: Any, decays: Callable[[str], bool], weight_decay: float, **adamw: Any
    ) -> None:
        make = functools.partial(
            torch.optim.Muon,
            lr=adamw["lr"],
            weight_decay=weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        super().__init__(make, model, decays, weight_decay, **adamw)


class ProjectedAndAdamW(BesideAdamW):
    """GaLore or APOLLO for the matrices inside of the layers."""

    def __init__(
        self,
        chosen: Training,
        model: Any,
        decays: Callable[[str], bool],
        weight_decay: float,
        **adamw: Any,
    ) -> None:
        make = functools.partial(
            Projected,
            kind=chosen.optimizer,
            rank=chosen.directions,
            gap=chosen.projection_gap,
            scale=chosen.step_scale,
            seed=chosen.seed,
            weight_decay=weight_decay,
            **{name: adamw[name] for name in ("lr", "betas", "eps")},
        )
        super().__init__(make, model, decays, weight_decay, **adamw)
