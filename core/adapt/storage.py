"""How a frozen base is stored: in its own precision, or quantised by bitsandbytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

Stored = Literal["own", "nf4", "fp4", "int8"]
Compute = Literal["bf16", "fp16", "fp32"]


def base_field() -> Any:
    """The field `base` of an adaptation that may sit on a quantised model."""
    return Field(
        "own",
        title="Base",
        description="How the frozen model is stored: own keeps its precision, int8 halves it "
        "(LLM.int8, arXiv 2208.07339), nf4 quarters it (QLoRA, arXiv 2305.14314); the last two "
        "round it a little and are slower. Only what was tried with this method is offered.",
    )


def quantisation(
    stored: Stored, *, double: bool = True, compute: Compute = "bf16"
) -> BitsAndBytesConfig | None:
    """The settings of bitsandbytes, None for the model's own precision. Called by the engine."""
    if stored == "own":
        return None
    import torch
    from transformers import BitsAndBytesConfig

    if stored == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    formats = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=stored,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=formats[compute],
    )
