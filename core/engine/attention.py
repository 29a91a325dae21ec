"""How a family of models computes attention."""

from __future__ import annotations

from typing import Literal

from transformers import AutoModelForCausalLM, PreTrainedConfig


def implementation(config: PreTrainedConfig) -> Literal["sdpa", "eager"]:
    """Torch's own kernels, or scores written out where a family knows nothing else (Gemma 2)."""
    kind = AutoModelForCausalLM._model_mapping.get(type(config), None)
    return "sdpa" if getattr(kind, "_supports_sdpa", False) else "eager"
