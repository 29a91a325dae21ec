"""Open a tokenizer and a model from a local folder; no code of theirs runs, nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)

from core import models
from core.draft import Settings
from core.engine.attention import implementation
from core.errors import HardwareError, ModelError
from core.recipe import Recipe

STORED = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions that a file may hold weights in, other than 32 bits."""

SCORE = "score.weight"
"""The layer that gives a sequence its number."""


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The model's own tokenizer. Raises ModelError."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The tokenizer in {folder} cannot be read: {_first_line(error)}",
            hint="Download the model again; tokenizer.json and tokenizer_config.json are needed.",
        ) from error
    return tokenizer


def load_model(folder: Path, recipe: Recipe, settings: Settings, *, scores: bool = False) -> Any:
    """The base model on its device, ready to be trained by the recipe's adaptation.

    Frozen weights keep 16 bits on a GPU that knows bfloat16; weights that are trained are 32-bit,
    because steps of 2e-5 vanish in its rounding. Elsewhere everything is 32-bit. Raises ModelError
    when a weight the model needs is not in the files: libraries fill it with random numbers.
    """
    quantisation = recipe.adaptation.quantisation()
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise HardwareError(
            "The plan asks for an NVIDIA GPU, and torch cannot use one here.",
            hint="Install the CUDA build of torch, or set training.device to cpu.",
        )
    dtype = _dtype(folder, recipe, settings)
    joined = settings.packing or settings.padding_free
    return open_weights(folder, settings.device, dtype, quantisation, scores=scores, joined=joined)


def open_weights(
    folder: Path,
    device: str,
    dtype: torch.dtype,
    quantisation: Any = None,
    *,
    scores: bool = False,
    joined: bool = False,
) -> Any:
    """The model in a folder, every weight from its files. Raises ModelError.

    With `scores` one number per sequence stands in the place of words; the layer that gives it
    may be new, then it is random. With `joined` attention keeps the rows of a joined batch apart.
    """
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    labels = {"num_labels": 1} if scores else {}
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model, found = kind.from_pretrained(
            folder,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            dtype=dtype,
            quantization_config=quantisation,
            attn_implementation=implementation(config, joined=joined),
            device_map={"": 0} if device == "cuda" else None,
            output_loading_info=True,
            **labels,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The model in {folder} cannot be loaded: {_first_line(error)}",
            hint="Download it again, or choose another model.",
        ) from error
    _refuse_missing(folder, set(found["missing_keys"]) - ({SCORE} if scores else set()))
    if quantisation is not None and device == "cpu":
        _keep_weights_right(model)
    return model


def _dtype(folder: Path, recipe: Recipe, settings: Settings) -> torch.dtype:
    """Of a partly trained model also what stays frozen is saved, so it must not be rounded."""
    frozen = not recipe.adaptation.trains_base
    if recipe.adaptation.partly:
        frozen = models.look(folder).stored == "bf16"
    return torch.bfloat16 if settings.bf16 and frozen else torch.float32


def _refuse_missing(folder: Path, missing: Any) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ModelError(
            f"{len(missing)} weights are missing in {folder}: {names}. They would be random.",
            hint="Download the model again; one of its files is not the right one.",
        )


def _keep_weights_right(model: Any) -> None:
    """bitsandbytes repacks 4-bit weights in place at the first look without gradients.

    Happens on CPUs with AVX512-BF16; from then on gradients are wrong without a word, and answers
    are no longer those that the run was scored with.
    """
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
