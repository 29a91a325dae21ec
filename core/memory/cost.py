"""How fast a GPU trains, and what a million tokens cost.

Arithmetic per token, with N the parameters every token is multiplied with:

* forward 2N, gradients of activations 2N, gradients of weights 2N (of trained weights of the base;
  those of adapters are left out), recomputed forward 2N: Kaplan et al. 2020 (arXiv 2001.08361,
  section 2.1); where the lower layers are frozen, backward ends above them, and they count for
  forward alone;
* one forward more where the model as it was reads every token too (DPO);
* attention 2 x layers x width x length forward and twice that backward: Chowdhery et al. 2022
  (arXiv 2204.02311, appendix B), halved because a causal kernel skips the upper triangle
  (Dao 2023, arXiv 2307.08691, section 4.1).

Anchors: torchtune README (Llama-3.1-8B on one RTX 4090, 2 x 2,048 tokens, compiled, recomputing):
LoRA 3,083, QLoRA 2,413, full with an 8-bit optimizer in backward 1,650 tokens/s; torchtitan
(arXiv 2410.06511, table 1: Llama-3.1-8B, full, H100 SXM, 8,192 tokens): 5,762. The formula gives
these within 15 %. Elsewhere, expect up to 40 % off: padding, short rows and slow disks cost more.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.adapt import Adaptation
from core.catalog import Gpu
from core.catalog.gpus import Basis, Kind
from core.models import ModelFacts
from core.value import Value

Method = Literal["full", "lora", "qlora"]
UTILISATION: dict[Kind, tuple[float, str]] = {
    "geforce": (0.85, "torchtune README, RTX 4090; boost clocks lie above those of the peak"),
    "workstation": (0.50, "assumed, as the A100: full-rate arithmetic at half a GeForce's power"),
    "turing": (0.09, "assumed: our engine computes in 32 bits there, at an eighth of the peak"),
    "ampere": (0.50, "FMS tuning, Mistral-7B LoRA on an A100 80 GB: 3,597 tokens per second"),
    "hopper": (0.45, "torchtitan, arXiv 2410.06511, table 1: 5,762 compiled 6,667 per H100"),
    "blackwell": (0.40, "assumed, a little below Hopper: kernels are younger"),
    "amd": (0.35, "assumed; our engine does not run there"),
}
"""Share of peak arithmetic that LoRA reaches, counting recomputed work, and where it is from."""
METHOD_FACTOR: dict[Method, tuple[float, str]] = {
    "lora": (1.0, "the reference"),
    "qlora": (0.80, "weights are unpacked in every pass: 0.78 torchtune, 0.95 FMS tuning"),
    "full": (0.73, "gradients and optimizer states pass through memory: torchtune README"),
}
"""What a method keeps of that share, and why."""
NVLINK_EFFICIENCY = 0.95
"""Share of linear speed-up with 2 to 8 GPUs on NVLink; assumed, gradients hide behind backward."""
PCIE_EFFICIENCY = 0.85
"""Share of linear speed-up with 2 to 8 GPUs on PCIe; assumed."""


class Work(Value):
    """What is done to one token."""

    method: Method
    multiplied: int = Field(gt=0)
    """Parameters a token is multiplied with: without look-up tables and idle experts."""
    passed: int = Field(gt=0)
    """Of these, those that gradients pass: the output layer, and layers from the lowest trained."""
    renewed: int = Field(ge=0)
    """Of these, those that are trained themselves."""
    layers: int = Field(gt=0)
    depth: int = Field(gt=0)
    """Layers that gradients pass."""
    width: int = Field(gt=0)
    """Heads x numbers per head."""
    length: int = Field(1024, ge=1)
    """Tokens that attend to each other."""
    recompute: bool = False
    """Whether activations are computed again in backward (gradient checkpointing)."""
    reference: int = Field(0, ge=0)
    """How often the model as it was reads every token too (DPO: once)."""

    @classmethod
    def of(
        cls,
        model: ModelFacts,
        adaptation: Adaptation,
        *,
        length: int,
        recompute: bool = False,
        reference: int = 0,
    ) -> Work:
        """The work on a model; experts that lie idle are not counted."""
        table, depth = model.vocab * model.hidden, adaptation.reaches(model)
        multiplied = model.active - (0 if model.tied else table)
        blocks, head = multiplied - table, table * adaptation.trains_head(model)
        return cls(
            method=method_of(adaptation),
            multiplied=multiplied,
            passed=table + blocks * depth // model.layers,
            renewed=head + blocks * adaptation.renews(model) // model.layers,
            layers=model.layers,
            depth=depth,
            width=model.heads * model.head_dim,
            length=length,
            recompute=recompute,
            reference=reference,
        )


def method_of(adaptation: Adaptation) -> Method:
    """What an adaptation costs like: weights and gradients of all, or of small parts."""
    if adaptation.trains_base:
        return "full"
    return "qlora" if adaptation.quantised else "lora"


def flops_per_token(work: Work) -> int:
    """Floating-point operations for one token of training, recomputed ones included."""
    layer = 2 * work.width * work.length
    forward, backward = 1 + work.reference, 2 + work.recompute
    return matrix_flops(work) + layer * (forward * work.layers + backward * work.depth)


def matrix_flops(work: Work) -> int:
    """Those of parameters alone, without attention."""
    forward, backward = 1 + work.reference, 1 + work.recompute
    return 2 * (forward * work.multiplied + backward * work.passed + work.renewed)


def utilisation(gpu: Gpu, method: Method) -> float:
    """Share of the peak arithmetic of one GPU that training reaches, 0 to 1."""
    return UTILISATION[gpu.kind][0] * METHOD_FACTOR[method][0]


def scaling(gpu: Gpu, count: int) -> float:
    """Speed of so many GPUs in one machine, as a multiple of the speed of one."""
    if count == 1:
        return 1.0
    return count * (NVLINK_EFFICIENCY if gpu.nvlink else PCIE_EFFICIENCY)


def tokens_per_second(work: Work, gpu: Gpu, count: int = 1) -> float:
    """Tokens trained per second of wall time by all GPUs together."""
    flops_per_second = gpu.dense_tflops * 1e12 * utilisation(gpu, work.method)
    return scaling(gpu, count) * flops_per_second / flops_per_token(work)


def hours_per_million_tokens(work: Work, gpu: Gpu, count: int = 1) -> float:
    """Hours of wall time for 1e6 tokens."""
    return 1e6 / tokens_per_second(work, gpu, count) / 3600


def usd_per_million_tokens(
    work: Work, gpu: Gpu, count: int = 1, basis: Basis = "typical"
) -> tuple[float, float]:
    """US dollars for 1e6 tokens at the lowest and the highest price of the GPU."""
    hours = hours_per_million_tokens(work, gpu, count)
    low, high = gpu.hourly(count, basis)
    return hours * low, hours * high
