"""Adapters, checkpoints and pickles that ask for more than to be read."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.converting import convert
from core.durable import MANIFEST, verify
from core.errors import RunError
from core.screening import screen
from core.screening.pickles import refuse_harmful_state
from tests.core.hostile.cases import Case, Place
from tests.core.hostile.models import SLOW, Make
from tests.core.model_folders import safetensors, write_model

LORA: dict[str, Any] = {
    "peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"],
    "megatron_core": "megatron.core", "base_model_name_or_path": "maker/base",
}  # fmt: skip
_Q = "base_model.model.model.layers.0.self_attn.q_proj"


def adapter(**changes: Any) -> Make:
    """An adapter whose settings say this too."""

    def make(place: Place) -> None:
        place.folder.mkdir()
        settings = json.dumps(LORA | changes).replace("OUTSIDE", str(place.outside))
        (place.folder / "adapter_config.json").write_text(settings)
        sides = {f"{_Q}.lora_A.weight": (8, 16), f"{_Q}.lora_B.weight": (16, 8)}
        (place.folder / "adapter_model.safetensors").write_bytes(safetensors(sides))

    return make


def _pickled_adapter(place: Place) -> None:
    adapter()(place)
    file = place.folder / "adapter_model.safetensors"
    file.rename(place.folder / "adapter_model.bin")


def _empty_adapter(place: Place) -> None:
    adapter()(place)
    (place.folder / "adapter_model.safetensors").unlink()


_DECLARED: tuple[tuple[str, Make, str], ...] = (
    ("import of a module", adapter(auto_mapping={"base_model_class": "x", "parent_library": "os"}),
     "auto_mapping names code"),
    ("import beside it", adapter(auto_mapping={"parent_library": "transformers/../../evil"}),
     "auto_mapping names code"),
    ("import for megatron", adapter(megatron_core="evil.core"), "megatron_core names code"),
    ("tokenizer with consent", adapter(tokenizer_kwargs={"trust_remote_code": True}),
     "trust_remote_code would let"),
    ("tokenizer of its own", adapter(tokenizer_kwargs={"subfolder": "x"}), "tokenizer_kwargs"),
    ("rank", adapter(r=50_000_000), "r is 50000000"),
    ("rank below zero", adapter(r=-1), "r is -1"),
    ("rank that is no number", adapter(r=float("nan")), "r is nan"),
    ("rank of one layer", adapter(rank_pattern={"q_proj": 10**9}), "q_proj is 1000000000"),
    ("virtual tokens", adapter(peft_type="PROMPT_TUNING", num_virtual_tokens=10**9),
     "num_virtual_tokens is"),
    ("copies of layers", adapter(layer_replication=[[0, 10**6]]), "more than 1,000 layers"),
    ("copies of nothing", adapter(layer_replication=[["a"]]), "more than 1,000 layers"),
    ("slow targets", adapter(target_modules=SLOW), "repeats what is repeated"),
    ("slow choice", adapter(target_modules="(a|ab)*c"), "repeats what is repeated"),
    ("slow exceptions of an adapter", adapter(exclude_modules="([a-z]+.)+x"), "repeats what is"),
    ("slow ranks", adapter(rank_pattern={SLOW: 4}), "repeats what is repeated"),
    ("slow scales", adapter(alpha_pattern={".*.*.*.*.*x": 4}), "repeats too many parts"),
    ("slow layers", adapter(layers_pattern=["(x+x+)+y"]), "repeats what is repeated"),
    ("slow whole layers", adapter(modules_to_save=[SLOW]), "repeats what is repeated"),
    ("long pattern", adapter(target_modules="a?" * 20_000), "longer than"),
    ("no pattern", adapter(target_modules="(q_proj"), "is no regular expression"),
    ("no kind", adapter(peft_type="LORA\nimport os"), "no kind of adapter"),
    ("pickled adapter", _pickled_adapter, "adapter_model.bin, a pickle"),
    ("adapter without weights", _empty_adapter, "has no weights"),
)  # fmt: skip


class Payload:
    """Leaves a marker when it is unpickled by Python's own loader."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def saved(program: bytes, *, pressed: bool = False, twice: bool = False) -> bytes:
    """A file as torch saves it, with this program inside."""
    made = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if pressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(made, "w", kind) as archive:
        archive.writestr("x/data.pkl", program)
        if twice:
            archive.writestr("y/data.pkl", program)
        archive.writestr("x/data/0", bytes(64))
    return made.getvalue()


def _payload(place: Place) -> bytes:
    return pickle.dumps({"weight": Payload(place.marker)}, protocol=2)


def called(module: str, name: str) -> bytes:
    """A program that calls one function without arguments."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(tR."


SPARSE = called("torch._utils", "_rebuild_sparse_tensor")
_STACKED = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."
_OLD = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
pickletools.dis(_STACKED, io.StringIO())  # a program that no reader understands proves nothing


def state(name: str, content: Callable[[Place], bytes]) -> Make:
    """A checkpoint with one file beside its weights."""

    def make(place: Place) -> None:
        place.folder.mkdir()
        (place.folder / name).write_bytes(content(place))

    return make


_STATES: tuple[tuple[str, Make, str], ...] = (
    ("program in the state of chance", state("rng_state.pth", lambda p: saved(_payload(p))),
     "more than plain tensors"),
    ("sparse state", state("optimizer.pt", lambda _: saved(SPARSE)), "asks for sparse tensors"),
    ("nested state",
     state("optimizer.pt", lambda _: saved(called("torch._utils", "_rebuild_nested_tensor"))),
     "_rebuild_nested_tensor"),
    ("evaluation", state("scheduler.pt", lambda _: saved(called("builtins", "eval"))), "eval"),
    ("loading", state("scheduler.pt", lambda _: saved(called("torch.hub", "load"))), "torch.hub"),
    ("hidden call", state("scheduler.pt", lambda _: saved(_STACKED)), "hidden STACK_GLOBAL"),
    ("old format", state("training_args.bin", lambda p: _OLD + _payload(p) * 2),
     "more than plain tensors"),
    ("pressed state", state("optimizer.pt", lambda _: saved(b"." * 9_000, pressed=True)),
     "is not what torch saves"),
    ("two programs", state("optimizer.pt", lambda _: saved(SPARSE, twice=True)), "several"),
    ("no program", state("optimizer.pt", lambda _: b"\x7fELF" + bytes(100)), "not what torch"),
    ("cut archive", state("optimizer.pt", lambda _: saved(SPARSE)[:60]), "not what torch saves"),
)  # fmt: skip


def sealed(name: str) -> Make:
    """A checkpoint whose manifest vouches for a file elsewhere."""

    def make(place: Place) -> None:
        place.folder.mkdir()
        secret = place.outside / "secret"
        secret.write_bytes(b"x")
        entry = {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
        named = name.replace("OUTSIDE", str(place.outside))
        if named == "linked":
            (place.folder / named).symlink_to(secret)
        manifest = {"format": 1, "files": {named: entry}}
        (place.folder / MANIFEST).write_text(json.dumps(manifest))

    return make


def _verified(folder: Path) -> None:
    """As a run takes its newest checkpoint."""
    if fault := verify(folder):
        raise RunError(f"{folder}: {fault}", hint="An older one is taken.")


_SEALED: tuple[tuple[str, Make, str], ...] = (
    ("manifest upwards", sealed("../outside/secret"), "names a file outside"),
    ("manifest absolute", sealed("OUTSIDE/secret"), "names a file outside"),
    ("manifest of a link", sealed("linked"), "a link instead of a file"),
)


def pickled(content: Callable[[Place], bytes], index: dict[str, str] | None = None) -> Make:
    """A model with pickled weights."""

    def make(place: Place) -> None:
        (write_model(place.folder) / "model.safetensors").unlink()
        (place.folder / "pytorch_model.bin").write_bytes(content(place))
        if index is not None:
            file = place.folder / "pytorch_model.bin.index.json"
            file.write_text(json.dumps({"weight_map": index}))

    return make


def _several(place: Place) -> None:
    pickled(lambda p: saved(_payload(p)))(place)
    (place.folder / "other.bin").write_bytes(b"")


def _converted(folder: Path) -> None:
    convert(folder, folder.parent / "converted")


_PICKLES: tuple[tuple[str, Make, str], ...] = (
    ("program among weights", pickled(lambda p: saved(_payload(p))), "more than plain tensors"),
    ("program among old weights", pickled(lambda p: _OLD + _payload(p) * 2), "more than plain"),
    ("sparse weights", pickled(lambda _: saved(SPARSE)), "asks for sparse tensors"),
    (
        "pickles elsewhere",
        pickled(lambda _: b"", {"a": "../outside/x.bin"}),
        "names a file",
    ),
    ("no pickles", pickled(lambda _: b"", {}), "names no files"),
    ("several pickles", _several, "2 files of weights"),
    ("pressed weights", pickled(lambda _: saved(b"." * 9_000, pressed=True)), "not what torch"),
)
ADAPTERS = [Case(name, make, screen, words) for name, make, words in _DECLARED]
STATES = [Case(name, make, refuse_harmful_state, words) for name, make, words in _STATES]
SEALED = [Case(name, make, _verified, words) for name, make, words in _SEALED]
PICKLES = [Case(name, make, _converted, words) for name, make, words in _PICKLES]
_UNSLOTH = (
    r"(?:.*?(?:vision|image|visual|patch|embed|language|text).*?(?:self_attn|attention|attn|mlp)"
    r".*?(?:q_proj|k_proj|v_proj|o_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)"
    r"\.(?:(?:q_proj|k_proj|v_proj|o_proj)))"
)
HARMLESS_ADAPTERS: dict[str, Make] = {
    "a usual adapter": adapter(),
    "a base elsewhere": adapter(base_model_name_or_path="OUTSIDE"),
    "a pattern of a well-known program": adapter(target_modules=_UNSLOTH),
    "a class of the library": adapter(
        auto_mapping={"base_model_class": "X", "parent_library": "transformers.models.llama.x"}
    ),
    "a large seed": adapter(projection_prng_key=2**60),
}
