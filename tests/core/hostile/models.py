"""Model folders that ask for code, for other files, or for all memory or time there is."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.models import look
from core.weights import INDEX, SINGLE
from tests.core.hostile.cases import Case, Place
from tests.core.model_folders import CONFIG, VOCAB, write_model

Make = Callable[[Place], None]
SLOW = "(a+)+$"
"""A pattern that takes exponential time on a text that just misses it."""


def good(place: Place) -> Path:
    """A sound model, to be spoiled."""
    return write_model(place.folder)


def config(**changes: Any) -> Make:
    """A model whose config.json says this too; with its author's code beside it."""

    def make(place: Place) -> None:
        write_model(place.folder, **changes)
        (place.folder / "modeling_evil.py").write_text(place.code)

    return make


def written(name: str, content: Any) -> Make:
    """A model with one more file, of JSON unless the content is bytes."""

    def make(place: Place) -> None:
        good(place)
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        (place.folder / name).write_bytes(raw)

    return make


def only_weights(name: str) -> Make:
    """A model with its weights in another kind of file."""

    def make(place: Place) -> None:
        (good(place) / SINGLE).rename(place.folder / name)

    return make


def index(shard: str) -> Make:
    """An index that names this file for a tensor."""

    def make(place: Place) -> None:
        (good(place) / SINGLE).rename(place.outside / SINGLE)
        named = shard.replace("OUTSIDE", str(place.outside))
        (place.folder / INDEX).write_text(json.dumps({"weight_map": {"a": named}}))

    return make


def link(name: str) -> Make:
    """A model of which one file is a link to a file elsewhere."""

    def make(place: Place) -> None:
        file = good(place) / name
        file.rename(place.outside / name)
        file.symlink_to(place.outside / name)

    return make


def _linked_shard(place: Place) -> None:
    (good(place) / SINGLE).rename(place.outside / SINGLE)
    (place.folder / "model-1.safetensors").symlink_to(place.outside / SINGLE)
    (place.folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))


def _linked_templates(place: Place) -> None:
    good(place)
    (place.folder / "additional_chat_templates").symlink_to(place.outside)


def _pipe(place: Place) -> None:
    os.mkfifo(good(place) / "generation_config.json")


def _own_tokenizer(place: Place) -> None:
    (good(place) / "tokenizer.json").rename(place.folder / "tokenizer.model")
    settings = {"auto_map": {"AutoTokenizer": ["tokenization_evil.Evil", None]}}
    (place.folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (place.folder / "tokenization_evil.py").write_text(place.code)


def tokenizer(**changes: Any) -> Make:
    """A model with another tokenizer.json."""
    usual = {"model": {"vocab": {f"t{i}": i for i in range(VOCAB)}}, "added_tokens": []}
    return written("tokenizer.json", usual | changes)


def header(text: str, size: int = 8) -> Make:
    """A model whose weights begin with this header, and have so many bytes behind it."""
    raw = text.encode()
    return written(SINGLE, struct.pack("<Q", len(raw)) + raw + bytes(size))


def tensor(**changes: Any) -> str:
    """The entry of a tensor of two numbers, changed."""
    return json.dumps({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes)


def _both(place: Place) -> None:
    good(place)
    (place.folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(place.outside)})
    )


def _gguf(place: Place) -> None:
    (good(place) / SINGLE).rename(place.folder / "model.gguf")
    (place.folder / "config.json").unlink()


def _nested(depth: int) -> Any:
    found: Any = {}
    for _ in range(depth):
        found = {"a": found}
    return found


_EVIL_CLASS = {"AutoModelForCausalLM": "modeling_evil.Evil"}
_SPLIT = {"type": "Split", "pattern": {"Regex": SLOW}, "behavior": "Isolated"}
_KERNEL = "attacker/kernel"
_MADE: tuple[tuple[str, Make, str], ...] = (
    ("code of the author", config(model_type="evil", auto_map=_EVIL_CLASS),
     "modeling_evil.py (SHA-256 "),
    ("no switch for code", config(model_type="evil", auto_map=_EVIL_CLASS), "no setting that"),
    ("code on the Hub", config(model_type="evil", auto_map={"A": "attacker/repo--modeling.Evil"}),
     "lies elsewhere"),
    ("code of a tokenizer", _own_tokenizer, "tokenization_evil.py (SHA-256 "),
    ("pickle", only_weights("pytorch_model.bin"), "a pickle"),
    ("pickle .pt", only_weights("model.pt"), "a pickle"),
    ("pickle .ckpt", only_weights("model.ckpt"), "a pickle"),
    ("keras", only_weights("model.keras"), "model.keras, which is for another program"),
    ("h5", only_weights("tf_model.h5"), "tf_model.h5, which is for another program"),
    ("joblib", only_weights("model.joblib"), "model.joblib, which is for another"),
    ("npy", only_weights("model.npy"), "model.npy, which is for another program"),
    ("pkl", only_weights("model.pkl"), "model.pkl, which is for another program"),
    ("exe", only_weights("model.exe"), "has no weights"),
    ("gguf", _gguf, "GGUF"),
    ("index upwards", index("../outside/model.safetensors"), "outside the folder"),
    ("index absolute", index("OUTSIDE/model.safetensors"), "outside the folder"),
    ("index of a pickle", index("pytorch_model.bin"), "outside the folder"),
    ("index with backslash", index("..\\outside\\model.safetensors"), "outside the folder"),
    ("index of a link", _linked_shard, "is a link to a file outside"),
    ("linked weights", link(SINGLE), "is a link to a file outside"),
    ("linked settings", link("config.json"), "is a link to a file outside"),
    ("linked template", link("chat_template.jinja"), "is a link to a file outside"),
    ("linked folder of templates", _linked_templates, "is a link to a file outside"),
    ("kernel", config(_attn_implementation=_KERNEL), "names code to download"),
    ("kernel in public", config(attn_implementation=_KERNEL), "names code to download"),
    ("kernel inside", config(_attn_implementation_internal=_KERNEL), "names code to download"),
    ("kernel of experts", config(experts_implementation=_KERNEL), "names code to download"),
    ("kernel of own experts", config(_experts_implementation=_KERNEL), "names code to download"),
    ("kernel of a part", config(text_config=CONFIG | {"attn_implementation": _KERNEL}),
     "names code to download"),
    ("kernel for a part", config(attn_implementation={"text_config": _KERNEL}),
     "names code to download"),
    ("consent in config", config(trust_remote_code=True), "trust_remote_code would let"),
    ("consent in a part", config(vision_config={"trust_remote_code": "yes"}),
     "trust_remote_code would let"),
    ("consent in tokenizer", written("tokenizer_config.json", {"trust_remote_code": True}),
     "trust_remote_code would let"),
    ("own generation", written("generation_config.json", {"custom_generate": "attacker/x"}),
     "custom_generate would let"),
    ("other weights", config(transformers_weights="../outside/model.safetensors"),
     "another file of weights"),
    ("other pickle", config(transformers_weights="adapter_model.bin"), "another file of weights"),
    ("tokenizer elsewhere", written("tokenizer_config.json", {"tokenizer_file": "/etc/passwd"}),
     "points at another file"),
    ("vocabulary elsewhere", written("tokenizer_config.json", {"vocab_file": "../outside/x"}),
     "points at another file"),
    ("other tokenizers",
     written("tokenizer_config.json", {"fast_tokenizer_files": ["../tokenizer.1.json"]}),
     "points at another file"),
    ("kind with a program", config(model_type="llama\nimport os"), "not the name of a model"),
    ("part with a program", config(text_config={"model_type": "llama\nimport os"}),
     "not the name of a model"),
    ("number format with a program", config(dtype="load; import os"), "dtype is "),
    ("layers", config(num_hidden_layers=2_000_000), "num_hidden_layers is 2000000"),
    ("width", config(hidden_size=10**9), "hidden_size is 1000000000"),
    ("vocabulary", config(vocab_size=2 * 10**9), "vocab_size is 2000000000"),
    ("context", config(max_position_embeddings=10**12), "max_position_embeddings is"),
    ("labels", config(num_labels=10**9), "num_labels is"),
    ("heads", config(num_attention_heads=10**7), "num_attention_heads is"),
    ("experts", config(num_local_experts=10**7), "num_local_experts is"),
    ("layers of a part", config(vision_config={"num_hidden_layers": 10**7}),
     "num_hidden_layers is"),
    ("list of widths", config(vision_config={"hidden_size": [16, 10**9]}), "hidden_size is"),
    ("vocabulary without weights", config(vocab_size=4_000_000, hidden_size=256),
     "describes a model of about"),
    ("unknown size", config(mystery_size=10**15), "mystery_size is"),
    ("no number", config(vision_config={"hidden_size": float("nan")}), "hidden_size is nan"),
    ("endless number", config(rope_theta=float("inf")), "rope_theta is inf"),
    ("beams", written("generation_config.json", {"num_beams": 10**6}), "num_beams is"),
    ("nested", config(text_config=_nested(60)), "nested deeper"),
    ("number of many digits", written("config.json", b'{"a": ' + b"9" * 5000 + b"}"),
     "config.json"),
    ("slow pattern", tokenizer(pre_tokenizer=_SPLIT), "repeats what is repeated"),
    ("slow pattern in a sequence",
     tokenizer(pre_tokenizer={"type": "Sequence", "pretokenizers": [_SPLIT]}),
     "repeats what is repeated"),
    ("slow normalizer", tokenizer(normalizer={"pattern": {"Regex": "(x*)*y"}, "content": ""}),
     "repeats what is repeated"),
    ("wide padding", tokenizer(padding={"strategy": {"Fixed": 10**10}}), "padded to"),
    ("foreign tokens", tokenizer(added_tokens=[{"id": VOCAB, "content": "x"}]), "knows 33 tokens"),
    ("tokens below zero", tokenizer(added_tokens=[{"id": -5, "content": "x"}]), "an id below 0"),
    ("name with a signal", written("readme\x1b]0;x\x07.md", b""), "unreadable signs"),
    ("name written backwards", written("invoice‮fdp.exe", b""), "unreadable signs"),
    ("slow exceptions", config(quantization_config={"modules_to_not_convert": [SLOW]}),
     "repeats what is repeated"),
    ("overlapping tensors",
     header(f'{{"a": {tensor()}, "b": {tensor()}}}'), "overlaps another one"),
    ("hole", header(f'{{"a": {tensor(data_offsets=[4, 12])}}}', 12), "follows a hole"),
    ("unknown format", header(f'{{"a": {tensor(dtype="os.system")}}}'), "unknown number format"),
    ("sides that are no numbers", header(f'{{"a": {tensor(shape=["2"])}}}'), "is no size"),
    ("too many sides", header(f'{{"a": {tensor(shape=[1] * 17 + [2])}}}'), "no short list"),
    ("huge side", header(f'{{"a": {tensor(shape=[2**62])}}}'), "is no size"),
    ("tensor below zero", header(f'{{"a": {tensor(data_offsets=[8, 0])}}}'), "not its shape"),
    ("tensor twice", header(f'{{"a": {tensor()}, "a": {tensor()}}}'), "stands there twice"),
    ("tensor with a signal", header(f'{{"a\\u001b[2J": {tensor()}}}'), "unreadable name"),
    ("model and adapter", _both, "both a model and an adapter"),
)  # fmt: skip
MODELS = [Case(name, make, look, words) for name, make, words in _MADE]
if hasattr(os, "mkfifo"):
    MODELS.append(Case("pipe", _pipe, look, "neither a file nor a folder"))


def _pickle_beside(place: Place) -> None:
    (good(place) / "pytorch_model.bin").write_bytes(b"never opened")
    for name in ("model.h5", "model.pkl", "model.joblib", "optimizer.pt", "setup.exe", "run.py"):
        (place.folder / name).write_bytes(b"never opened")


def _hub_cache(place: Place) -> None:
    """As the Hub's own library keeps a model: links to blobs."""
    home = place.folder.parent
    write_model(home / "made")
    blobs = home / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    folder = home / "models--a--b" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted((home / "made").iterdir())):
        path.rename(blobs / str(number))
        (folder / path.name).symlink_to(Path("../../blobs") / str(number))
    place.folder.symlink_to(folder)


_GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
HARMLESS: dict[str, Make] = {
    "attention that is known": config(_attn_implementation="sdpa", experts_implementation="eager"),
    "no consent": config(trust_remote_code=False),
    "code that is not needed": config(auto_map=_EVIL_CLASS),
    "files of others beside the weights": _pickle_beside,
    "links of the Hub's cache": _hub_cache,
    "its own vocabulary": written("tokenizer_config.json", {"vocab_file": "tokenizer.json"}),
    "a file nobody opens": written(
        "tokenizer_config.json", {"special_tokens_map_file": "/root/x", "model_max_length": 1e30}
    ),
    "a usual pattern": tokenizer(pre_tokenizer=_SPLIT | {"pattern": {"Regex": _GPT4}}),
    "a large base of frequencies": config(rope_theta=5e8),
}
"""Found in many good models, and let through; nothing of it is obeyed."""
WEIGHTS_OF_OTHERS = {".bin", ".h5", ".pkl", ".joblib", ".pt", ".exe", ".py"}
