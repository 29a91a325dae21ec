"""The plain choices of a recipe: training and checks.

A field is described once, here, in core.data_choices, core.adapt or core.objectives: title, range
and description feed the form, the tooltip, the YAML comment and the docs. `None` means "automatic":
the plan picks a value and says why.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.value import AUTO, EXPERT, Value

Optimizers = Literal[
    "auto", "adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw", "adafactor", "lion",
    "lion_8bit", "muon", "galore_adamw", "apollo_adamw", "apollo_mini",
]  # fmt: skip

PROJECTED = {"galore_adamw": 0.25, "apollo_adamw": 1.0, "apollo_mini": 128**0.5}
"""Optimizers that keep states in few directions, and by how much their papers scale steps."""


class Training(Value):
    """How long, how fast and in what portions."""

    epochs: Annotated[float | None, AUTO] = Field(
        None,
        gt=0,
        le=1000,
        title="Epochs",
        description="How often every row is seen. Usual: 1 to 3; more for a few hundred rows, "
        "where the held-out loss tells when to stop. Empty: chosen from the number of rows.",
    )
    max_steps: int | None = Field(
        None,
        ge=1,
        title="Stop after steps",
        description="A limit in optimizer steps; it wins over epochs. Empty: no limit.",
    )
    learning_rate: Annotated[float | None, AUTO] = Field(
        None,
        gt=0,
        lt=1,
        title="Learning rate",
        description="Size of each change. Too high and the loss jumps or explodes, too low and "
        "nothing is learned. Usual: 1e-4 to 2e-4 for LoRA, 1e-5 to 5e-5 for full fine-tuning. "
        "Empty: chosen from the method and the size of the model.",
        json_schema_extra={"rate": True},
    )
    optimizer: Optimizers = Field(
        "auto",
        title="Optimizer",
        description="What turns gradients into changes. auto is AdamW, in 8 bits and paged where "
        "only that fits; adamw_8bit keeps its memory in a quarter of the room, paged ones move it "
        "out of a full GPU, adafactor keeps hardly any, lion keeps half of it. For full "
        "fine-tuning only: muon learns more per step, galore_adamw, apollo_adamw and apollo_mini "
        "keep their memory in few directions of each matrix.",
    )
    projection_rank: int = Field(
        128,
        ge=1,
        le=8192,
        title="Projection rank",
        description="How many directions of each matrix GaLore and APOLLO keep their memory in; "
        "apollo_mini has one. Usual: a quarter of the model's width or less (arXiv 2403.03507, "
        "2412.05270).",
        json_schema_extra=EXPERT,
    )
    projection_gap: int = Field(
        200,
        ge=1,
        le=1_000_000,
        title="Projection gap",
        description="Steps after which GaLore and APOLLO choose other directions. Usual: 200 "
        "(arXiv 2403.03507).",
        json_schema_extra=EXPERT,
    )
    projection_scale: Annotated[float | None, AUTO] = Field(
        None,
        gt=0,
        le=1000,
        title="Projection scale",
        description="So many times the step that comes out of the directions. Usual: 0.25 for "
        "GaLore, 1 for APOLLO, 11.3 for apollo_mini. Empty: as in the paper.",
        json_schema_extra=EXPERT,
    )
    micro_batch: int = Field(
        8,
        ge=1,
        le=1024,
        title="Batch on the device",
        description="Rows computed at once. Halve it when memory is short and double the "
        "accumulation: the result is the same.",
    )
    accumulation: Annotated[int | None, AUTO] = Field(
        None,
        ge=1,
        le=4096,
        title="Accumulation",
        description="Batches added up before one change of the weights. Batch x accumulation is "
        "the effective batch; usual: 8 to 64. Empty: chosen from the number of rows.",
    )
    max_length: Annotated[int | None, AUTO] = Field(
        None,
        ge=16,
        le=1_048_576,
        title="Maximum length",
        description="Rows longer than this many tokens are cut at the end. Memory grows with it. "
        "Empty: long enough for 97 % of the rows.",
    )
    warmup: float = Field(
        0.05,
        ge=0,
        lt=1,
        title="Warm-up",
        description="Share of the steps in which the learning rate rises from zero. Usual: 0.03 "
        "to 0.1.",
    )
    schedule: Literal["cosine", "linear", "constant", "wsd", "inverse_sqrt"] = Field(
        "cosine",
        title="Schedule",
        description="How the learning rate falls after the warm-up. wsd stays at the top and falls "
        "only at the end (warm-up, stable, decay); inverse_sqrt falls fast, then ever slower.",
    )
    decay: float = Field(
        0.2,
        gt=0,
        le=1,
        title="Decay",
        description="Share of the steps in which wsd falls, at the end. Usual: 0.1 to 0.2 (arXiv "
        "2405.18392).",
        json_schema_extra=EXPERT,
    )
    final_rate: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Final rate",
        description="Share of the learning rate at which cosine and wsd end. Usual: 0 to 0.1.",
        json_schema_extra=EXPERT,
    )
    lora_plus: float | None = Field(
        None,
        ge=1,
        le=1000,
        title="LoRA+",
        description="So many times the learning rate for the second matrix of each adapter, which "
        "begins at zero. Usual: 16 (arXiv 2402.12354). Empty: the same rate for both.",
        json_schema_extra=EXPERT,
    )
    embedding_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        title="Embedding rate",
        description="Learning rate of the embeddings and the output head where these are trained. "
        "Usual: a half to a tenth of the learning rate. Empty: the same.",
        json_schema_extra=EXPERT | {"rate": True},
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Weight decay",
        description="Pulls weights towards zero; norms and biases are left alone. Usual: 0 for "
        "adapters, 0.01 to 0.1 for full fine-tuning.",
        json_schema_extra={"rate": True},
    )
    clip: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Gradient clipping",
        description="Longest gradient that is applied; longer ones are shortened. Usual: 1. 0 "
        "turns it off.",
    )
    neftune: float | None = Field(
        None,
        gt=0,
        le=100,
        title="Noise (NEFTune)",
        description="Random noise on the embeddings while training, against learning answers by "
        "heart. Usual: 5 (arXiv 2310.05914). Empty: none. For imitation (SFT) only.",
        json_schema_extra=EXPERT,
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Label smoothing",
        description="Share of the aim that is spread evenly over all words, against too much "
        "certainty. Usual: 0.1 (arXiv 1512.00567). 0 turns it off. For imitation (SFT) and "
        "continued pretraining; takes memory for the logits of a whole batch. Losses are shown "
        "without it.",
        json_schema_extra=EXPERT,
    )
    beta1: float = Field(
        0.9,
        ge=0,
        lt=1,
        title="Beta 1",
        description="How long the optimizer remembers the direction of gradients. Usual: 0.9.",
        json_schema_extra=EXPERT,
    )
    beta2: Annotated[float | None, AUTO] = Field(
        None,
        ge=0,
        lt=1,
        title="Beta 2",
        description="How long it remembers their size. Usual: 0.999 for Adam, 0.99 for Lion. "
        "Empty: the usual one.",
        json_schema_extra=EXPERT,
    )
    epsilon: float = Field(
        1e-8,
        gt=0,
        le=1e-2,
        title="Epsilon",
        description="Keeps Adam from dividing by zero. Usual: 1e-8.",
        json_schema_extra=EXPERT | {"rate": True},
    )
    checkpointing: Literal["auto", "on", "off"] = Field(
        "auto",
        title="Gradient checkpointing",
        description="Recompute activations instead of keeping them: about 40 % less memory, about "
        "25 % slower. Auto turns it on only when the memory needs it.",
    )
    kernels: Literal["auto", "liger", "none"] = Field(
        "auto",
        title="Kernels",
        description="liger computes norms, rotations and gates of layers in fewer passes, with the "
        "package liger-kernel on NVIDIA GPUs: about a tenth faster, with less memory, the same "
        "result up to rounding. Auto takes it where it fits.",
        json_schema_extra=EXPERT,
    )
    on_out_of_memory: Literal["recover", "stop"] = Field(
        "recover",
        title="When memory runs out",
        description="recover takes the step again with half as many rows at once and goes on so: "
        "the same rows, the same result up to rounding. stop ends the run.",
        json_schema_extra=EXPERT,
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", title="Device", description="Where to train. Auto takes the GPU when there is one."
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Same seed, same data, same machine: same result.",
    )

    @property
    def directions(self) -> int:
        """Of each matrix, where an optimizer keeps its states in few of them."""
        return 1 if self.optimizer == "apollo_mini" else self.projection_rank

    @property
    def step_scale(self) -> float:
        """By how much steps in few directions are scaled."""
        return self.projection_scale or PROJECTED.get(self.optimizer, 1.0)


class Checks(Value):
    """What is measured and saved while training."""

    every: Annotated[int | None, AUTO] = Field(
        None,
        ge=1,
        title="Evaluate every",
        description="Steps between two looks at the held-out rows. Empty: ten times per run.",
    )
    save_every: int | None = Field(
        None,
        ge=1,
        title="Save every",
        description="Steps between two checkpoints. Empty: as often as evaluation.",
    )
    keep: int = Field(
        2,
        ge=1,
        le=1000,
        title="Checkpoints kept",
        description="The newest ones; the best one is always kept as well.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=1000,
        title="Early stopping",
        description="Stop when the held-out loss has not improved in this many evaluations. "
        "Empty: never.",
    )
    score_rows: int = Field(
        200,
        ge=0,
        le=100_000,
        title="Rows scored",
        description="Held-out rows answered before and after training. 0 skips the answers.",
    )
    probes: tuple[str, ...] = Field(
        (),
        title="Probe prompts",
        description="Questions answered at every evaluation, to watch the model change. Empty: "
        "the first held-out rows.",
    )
    answer_length: int = Field(
        128,
        ge=1,
        le=8192,
        title="Longest answer",
        description="Tokens a generated answer may have.",
    )
