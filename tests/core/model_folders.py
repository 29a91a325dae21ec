"""Small model folders, built from nothing: headers are real, the numbers in them are zeros."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WIDTH = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "U8": 1}
HIDDEN, LAYERS, VOCAB = 16, 2, 32
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "vocab_size": VOCAB,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
LAYER = {
    "self_attn.q_proj.weight": (16, 16),
    "self_attn.k_proj.weight": (8, 16),
    "self_attn.v_proj.weight": (8, 16),
    "self_attn.o_proj.weight": (16, 16),
    "mlp.gate_proj.weight": (48, 16),
    "mlp.up_proj.weight": (48, 16),
    "mlp.down_proj.weight": (16, 48),
    "input_layernorm.weight": (16,),
}
TEMPLATE = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
Shapes = Mapping[str, tuple[int, ...]]


def shapes() -> dict[str, tuple[int, ...]]:
    """A Llama of two layers with a tied output layer."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCAB, HIDDEN)}
    for layer in range(LAYERS):
        found |= {f"model.layers.{layer}.{name}": shape for name, shape in LAYER.items()}
    return found | {"model.norm.weight": (HIDDEN,)}


def safetensors(tensors: Shapes, dtype: str = "BF16") -> bytes:
    """The bytes of a safetensors file."""
    header, end = {}, 0
    for name, shape in tensors.items():
        size = math.prod(shape) * WIDTH[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def write_model(folder: Path, **changes: Any) -> Path:
    """A good model folder; `changes` go into its config.json."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    (folder / "model.safetensors").write_bytes(safetensors(shapes()))
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": {f"t{i}": i for i in range(VOCAB)}}, "added_tokens": []})
    )
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\n# Tiny\n")
    return folder
