"""One training step as far as memory is concerned: what runs, in which formats, on how much."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.value import Value

Engine = Literal["trl", "plain"]
Loss = Literal["fused", "logits"]
Attention = Literal["eager", "sdpa", "efficient", "flash"]
Dtype = Literal["bf16", "fp16", "fp32"]
Optimizer = Literal[
    "adamw", "adamw_foreach", "adamw_8bit", "paged_adamw", "paged_adamw_8bit", "adafactor", "sgd",
    "lion", "lion_8bit", "muon", "galore_adamw", "apollo_adamw", "apollo_mini",
]  # fmt: skip
Sharding = Literal["none", "ddp", "zero1", "zero2", "zero3", "fsdp"]
OnObjective = Literal["sft", "dpo", "reward", "ppo", "grpo", "distill"]


class Setup(Value):
    """Everything that decides the memory of one step beside the model and the adaptation.

    `engine` "trl" is what our engine runs (autocast, fused output layer, 32-bit adapters, fused
    AdamW); "plain" is a bare transformers + PEFT loop without autocast, whose frozen weights have
    `dtype`, whose adapters have 32 bits, and which keeps `outputs` until the end of backward.
    """

    cuda: bool = True
    engine: Engine = "trl"
    objective: OnObjective = "sft"
    teacher: int = Field(0, ge=0)
    """Parameters of a frozen model that reads the same rows to teach."""
    rows: int = Field(1, ge=1)
    """Rows computed at once on one device."""
    length: int = Field(1024, ge=1)
    """Tokens of the longest row, after truncation or packing."""
    padded: bool = False
    """Whether rows differ in length, so that a mask goes to the attention."""
    dtype: Dtype = "bf16"
    """Format of frozen weights, and of the arithmetic on a GPU."""
    loss: Loss = "fused"
    attention: Attention = "sdpa"
    """sdpa lets torch choose: flash without a mask, memory-efficient with one."""
    checkpointing: bool = False
    optimizer: Optimizer = "adamw"
    """adamw is the fused one; adamw_foreach is what `torch.optim.AdamW(...)` alone gives."""
    directions: int = Field(128, ge=1)
    """Of each matrix, in which GaLore and APOLLO keep their states."""
    accumulation: int = Field(1, ge=1)
    kbit_prepare: bool = False
    """Whether PEFT's prepare_model_for_kbit_training raised what is not quantised to 32 bits."""
    double_quant: bool = True
    sharding: Sharding = "none"
    gpus: int = Field(1, ge=1)
    offload: bool = False
    """Whether optimizer states (and sharded weights) live in host memory."""
