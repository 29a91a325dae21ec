"""How large a model may say it is. A size in a file of one kilobyte can ask for 25 GB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.screening.base import REPAIR, name_of, text_of

LIMITS = {
    "hidden": 65_536, "layers": 1_000, "heads": 4_096, "kv_heads": 4_096, "head_dim": 65_536,
    "intermediate": 1_000_000, "vocab": 4_000_000, "context": 100_000_000,
    "experts": 4_096, "experts_used": 4_096, "expert_width": 1_000_000, "labels": 100_000,
    "beams": 64,
}  # fmt: skip
SPELLINGS = {
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "head_dim": ("head_dim",),
    "intermediate": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "vocab": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "experts_used": ("num_experts_per_tok",),
    "expert_width": ("moe_intermediate_size",),
}
_MORE = {
    "hidden": ("decoder_hidden_size", "encoder_hidden_size", "hidden_size_per_layer_input"),
    "layers": ("decoder_layers", "encoder_layers", "num_nextn_predict_layers", "mtp_num_layers"),
    "heads": ("decoder_attention_heads", "encoder_attention_heads"),
    "intermediate": ("decoder_ffn_dim", "encoder_ffn_dim"),
    "vocab": ("padded_vocab_size", "vocab_size_per_layer_input"),
    "context": ("max_target_positions", "max_source_positions", "sliding_window"),
    "labels": ("num_labels",),
    "beams": ("num_beams", "num_beam_groups", "num_return_sequences"),
}
"""Other sizes that a library builds something from, though nothing here reads them."""
_KNOWN = {
    key: LIMITS[name]
    for spelled in (SPELLINGS, _MORE)
    for name, keys in spelled.items()
    for key in keys
}
LARGEST = 10**12
"""For a number whose meaning is not known here; the base of rotary frequencies reaches 10**9."""


def number(path: Path, config: dict[str, Any], name: str) -> int:
    """A size under its several spellings; 0 when it is not told. Raises ModelError."""
    for key in SPELLINGS[name]:
        value = config.get(key)
        if value is None:
            continue
        if type(value) is not int or not 0 <= value <= LIMITS[name]:
            raise ModelError(
                f"{path}: {key} is {text_of(value, 40)}, expected is a whole number "
                f"up to {LIMITS[name]:,}.",
                hint=REPAIR,
            )
        return value
    return 0


def refuse_senseless(path: Path, key: str, value: object) -> None:
    """Raise ModelError for a size, alone or one of a list, that no model has."""
    limit = _KNOWN.get(key, LARGEST)
    least = 0 if key in _KNOWN else -LARGEST
    for each in value if isinstance(value, list) else (value,):
        if isinstance(each, int | float) and not least <= each <= limit:
            raise ModelError(
                f"{path}: {name_of(key)} is {text_of(each, 40)}, expected is at most {limit:,}.",
                hint=REPAIR,
            )
