"""AdaLoRA: ranks move to the layers that need them (Zhang et al. 2023, arXiv 2303.10512)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.adapt.storage import base_field
from core.adapt.targets import OnLinear
from core.models import ModelFacts

if TYPE_CHECKING:
    from peft import AdaLoraConfig

NAME = "default"
SUMS = ("exp_avg_ipt", "exp_avg_unc")
"""What PEFT's RankAllocator remembers of the importance of every number."""
KEPT = "kept_ranks"


class AdaLora(OnLinear):
    """Begin with a higher rank everywhere and drop what matters least."""

    kind: Literal["adalora"] = "adalora"
    family: ClassVar = "Relatives of LoRA"
    title: ClassVar = "AdaLoRA"
    summary: ClassVar = (
        "LoRA that begins with a high rank and drops what matters least, layer by layer. Gets more "
        "out of a small budget; slower, and it needs some hundred steps to choose well."
    )
    learning_rate: ClassVar = (1e-3, "5e-4 to 3e-3 in the AdaLoRA paper, appendix D")
    base: Literal["own", "int8"] = base_field()  # over 4 bits PEFT trains its divisor as well
    rank: int = Field(
        8,
        ge=1,
        le=256,
        title="Rank",
        description="Mean rank that is left in the end. Usual: 4 to 16.",
    )
    initial_rank: int = Field(
        12,
        ge=2,
        le=512,
        title="Rank at first",
        description="Rank of every layer in the beginning; memory follows from it. Usual: one "
        "and a half times the rank (AdaLoRA paper).",
    )
    alpha: int = Field(
        32,
        ge=1,
        le=1024,
        title="Alpha",
        description="Strength of the adapter: its output is scaled by alpha / rank at first. "
        "Usual: 16 to 32.",
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Dropout",
        description="Share of adapter inputs dropped at random while training. Usual: 0 to 0.1.",
    )
    warmup_share: float = Field(
        0.1,
        ge=0,
        le=0.4,
        title="Steps before dropping",
        description="Share of all steps in which all ranks learn. Usual: 0.1 (AdaLoRA paper).",
    )
    final_share: float = Field(
        0.3,
        ge=0,
        le=0.5,
        title="Steps after dropping",
        description="Share of all steps in which the ranks that are left learn on. Usual: 0.3 to "
        "0.5 (AdaLoRA paper).",
    )
    every: int = Field(
        1,
        ge=1,
        le=1000,
        title="Steps between choices",
        description="Ranks are dropped in every so many steps. Usual: 1 for short runs, 10 to 100 "
        "for long ones.",
    )
    orthogonality: float = Field(
        0.5,
        ge=0,
        le=10,
        title="Orthogonality",
        description="How strongly directions are kept apart. It moves weights and is not in the "
        "loss that is shown. Usual: 0.1 to 0.5 (AdaLoRA paper).",
    )

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.initial_rank <= self.rank:
            raise ValueError("the rank at first must be higher than the rank that is left")
        return self

    @property
    def widest(self) -> int:
        """That of the beginning."""
        return self.initial_rank

    def trainable(self, model: ModelFacts) -> int:
        """Left and right directions and their strengths, at the rank of the beginning."""
        sides = sum(rows + columns + 1 for rows, columns in self.adapted(model).values())
        return model.layers * self.initial_rank * sides

    def peft_config(self) -> AdaLoraConfig:
        """PEFT's settings; the schedule follows when the number of steps is known."""
        from peft import AdaLoraConfig

        return AdaLoraConfig(
            target_r=self.rank,
            init_r=self.initial_rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            deltaT=self.every,
            orth_reg_weight=self.orthogonality,
            total_step=1,
            target_modules=self.target_modules,
            task_type="CAUSAL_LM",
        )

    def penalty(self, model: Any) -> Any:
        """Mean distance of all directions from orthogonal ones; TRL loses PEFT's own.

        Source: equation 4 of the paper, weighed as in peft/tuners/adalora/model.py.
        """
        from torch import eye, stack
        from torch.linalg import matrix_norm

        far = []
        for name, weight in model.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                square = weight @ weight.T if ".lora_A." in name else weight.T @ weight
                far.append(matrix_norm(square - eye(len(square), device=square.device)))
        return self.orthogonality * stack(far).mean()

    def after_step(self, model: Any, optimizer: Any, step: int, steps: int) -> None:
        """Drop ranks, as TRL never asks PEFT to.

        What PEFT remembers lies in the optimizer's state, which checkpoints hold. Its pattern of
        ranks is taken out of the settings after each step: a checkpoint that names one is loaded
        into smaller matrices, which the optimizer does not know.
        """
        config = model.peft_config[NAME]
        last = steps - round(steps * self.final_share)
        if last < 2:
            return
        config.total_step, config.tfinal = steps, steps - last
        config.tinit = min(round(steps * self.warmup_share), last - 1)
        named = model.base_model.model.named_parameters()
        states = {n: optimizer.state[p] for n, p in named if p.requires_grad}
        allocator = model.base_model.rankallocator
        _recall(allocator, states)
        if step > last:
            config.rank_pattern = {
                n: s[KEPT].ne(0).tolist() for n, s in states.items() if KEPT in s
            }
        model.base_model.update_and_allocate(step)
        _remember(allocator, states, config.rank_pattern or {})
        config.rank_pattern = None


def _recall(allocator: Any, states: dict[str, Any]) -> None:
    for place in SUMS:
        known = {name: state[place] for name, state in states.items() if place in state}
        setattr(allocator, place, known)
    allocator.ipt = dict(allocator.exp_avg_ipt)


def _remember(allocator: Any, states: dict[str, Any], pattern: dict[str, list[bool]]) -> None:
    from torch import tensor

    for place in SUMS:
        for name, found in getattr(allocator, place).items():
            states[name][place] = found
    for name, kept in pattern.items():
        states[name][KEPT] = tensor(kept)
