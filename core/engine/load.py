"""Open a tokenizer and a model from a local folder; no code of theirs runs, nothing is fetched."""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Mapping
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
from core.engine import rendering
from core.engine.attention import implementation
from core.engine.faults import first_line, out_of_memory
from core.errors import HardwareError, ModelError
from core.recipe import Recipe
from core.screening import screen

STORED = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions that a file may hold weights in, other than 32 bits."""

SCORE, HEAD = "score.weight", "lm_head.weight"
"""The layers that give a sequence its number, and a place its words."""
_SPARE = re.compile(
    r"vision|visual|audio|speech|image|multi_modal|mm_proj|(^|\.)mtp\.|rotary_emb"
    r"|\.(attn|attention)\.(masked_)?bias$"
)
"""Parts of a model beside its text, parts for guessing ahead, and tables that are computed anew."""


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The model's own tokenizer. Raises ModelError."""
    screen(folder)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        if out_of_memory(error):
            raise
        raise ModelError(  # for a file it does not expect the library raises whatever it likes
            f"The tokenizer in {folder} cannot be read: {first_line(error)}",
            hint="Download the model again; tokenizer.json and tokenizer_config.json are needed.",
        ) from error
    rendering.guard(tokenizer.chat_template, f"of the model in {folder}")
    if (folder / "config.json").is_file():
        _refuse_foreign_tokens(folder, tokenizer)
    return tokenizer


def _refuse_foreign_tokens(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Settings beside tokenizer.json may add tokens; on a GPU one too many ends the process."""
    rows = models.look(folder).vocab
    token, highest = max(tokenizer.get_vocab().items(), key=operator.itemgetter(1))
    if rows and highest >= rows:
        raise ModelError(
            f"The settings in {folder} add the token {ascii(token)[:60]} as number {highest:,}; "
            f"the model knows only {rows:,}.",
            hint="Remove the token from tokenizer_config.json, or use a model that knows it.",
        )


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
    models.look(folder)  # judges every file once more: it may have been changed since the plan
    kind = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    labels = {"num_labels": 1} if scores else {}
    try:
        config = AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True, **labels
        )
        model, found = kind.from_pretrained(
            folder,
            config=config,  # else what the file says of attention wins over what is asked here
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            dtype=dtype,
            quantization_config=quantisation,
            attn_implementation=implementation(config, joined=joined),
            device_map={"": 0} if device == "cuda" else None,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, where they can be named
        )
    except Exception as error:
        if out_of_memory(error):
            raise
        raise ModelError(
            f"The model in {folder} cannot be loaded: {first_line(error)}",
            hint="Download it again, or choose another model.",
        ) from error
    _refuse_misfits(folder, found, scores=scores)
    if quantisation is not None and device == "cpu":
        _keep_weights_right(model)
    return model


def _dtype(folder: Path, recipe: Recipe, settings: Settings) -> torch.dtype:
    """Of a partly trained model also what stays frozen is saved, so it must not be rounded."""
    frozen = not recipe.adaptation.trains_base
    if recipe.adaptation.partly:
        frozen = models.look(folder).stored == "bf16"
    return torch.bfloat16 if settings.bf16 and frozen else torch.float32


def _refuse_misfits(folder: Path, found: Mapping[str, Any], *, scores: bool) -> None:
    """What the library only writes to its error stream: weights without a place, places without.

    A model that also sees is read by its text part, and a judge needs no layer that gives words.
    """
    other = {name for name, *_ in found["mismatched_keys"]}
    _refuse(folder, other, "have another shape than config.json says", "They would be random.")
    missing = set(found["missing_keys"]) - ({SCORE} if scores else set())
    _refuse(folder, missing, "are missing", "They would be random.")
    spare = {name for name in found["unexpected_keys"] if not _SPARE.search(name)}
    _refuse(
        folder,
        spare - ({HEAD} if scores else set()),
        "have no place in the model",
        "They would be left out.",
    )


def _refuse(folder: Path, names: Collection[str], what: str, outcome: str) -> None:
    if names:
        told = ", ".join(sorted(names)[:3])
        raise ModelError(
            f"{len(names)} weights {what} in {folder}: {told}. {outcome}",
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
