"""Weights seen from outside: the headers of safetensors files, never the numbers in them."""

from __future__ import annotations

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from core.errors import ModelError

MAX_HEADER = 100_000_000
"""The format's own limit; a header of a very large model has a few megabytes."""
MOST_SIDES, LONGEST_NAME = 16, 1_000
LARGEST = 2**60
"""Of one side of a tensor, and of a place in a file."""
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
    "C64": 64, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6,
    "F4": 4,
}  # fmt: skip
NAMES = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16"}
_NOT_TEXT = re.compile(r"vision|visual|audio|speech|image", re.IGNORECASE)
_LAYER = re.compile(r"^(?P<stack>.*?\b(?:layers|h|blocks|block)\.)(?P<number>\d+)\.(?P<rest>.+)$")
_ROUTER = re.compile(r"(mlp|moe|feed_forward)\.(gate|router)\.(layer\.)?weight$")
_DAMAGED = "The file is damaged or was not downloaded completely. Download the model again."


class Tensor(NamedTuple):
    """One tensor as its file describes it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


Tensors = Mapping[str, Tensor]


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], int]:
    """Every tensor of a model folder, and the bytes of its weight files. Raises ModelError."""
    tensors: dict[str, Tensor] = {}
    size = 0
    for file in weight_files(folder):
        tensors |= read_header(file)
        size += file.stat().st_size
    return tensors, size


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files a loader would open, in order."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return [_shard(folder, name) for name in sorted(set(_weight_map(folder / INDEX).values()))]
    return []


def _weight_map(index: Path) -> dict[str, str]:
    try:
        if index.stat().st_size > MAX_HEADER:
            raise ValueError("larger than 100 MB")
        found = json.loads(index.read_bytes())["weight_map"]
        if not isinstance(found, dict) or not found:
            raise ValueError("weight_map is not a list of tensors and files")
        return {str(tensor): str(file) for tensor, file in found.items()}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{index}: not a readable index of shards ({error}).", hint=_DAMAGED
        ) from (error)


def _shard(folder: Path, name: str) -> Path:
    """A shard is a plain file beside its index; anything else may point at a stranger's file."""
    if PurePosixPath(name).name != name or "\\" in name or not name.endswith(".safetensors"):
        raise ModelError(
            f"{folder / INDEX} names a weight file outside the folder: {name!r:.80}.",
            hint="Do not use this model unless you know who made it; its index was tampered with.",
        )
    if not (folder / name).is_file():
        raise ModelError(f"{folder / name} is missing: the model is incomplete.", hint=_DAMAGED)
    return folder / name


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file, checked against its size. Raises ModelError."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = _header_length(opened.read(8), size)
            tensors, end = parse_header(opened.read(length))
        if 8 + length + end != size:
            raise ValueError(f"the tensors need {8 + length + end:,} bytes, the file has {size:,}")
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged: {error}.", hint=_DAMAGED) from error
    return tensors


def _header_length(first: bytes, size: int) -> int:
    if len(first) < 8:
        raise ValueError(f"{size} bytes are too few for a safetensors file")
    length: int = struct.unpack("<Q", first)[0]
    if length > MAX_HEADER or 8 + length > size:
        raise ValueError(f"its header claims {length:,} bytes, the file has {size:,}")
    return length


def parse_header(header: bytes) -> tuple[dict[str, Tensor], int]:
    """The tensors a header describes, and the bytes they take. Raises what a damaged one causes.

    Tensors must lie side by side: what overlaps or leaves a hole was not written by any library.
    """
    tensors: dict[str, Tensor] = {}
    places: list[tuple[int, int, str]] = []
    for name, entry in json.loads(header, object_pairs_hook=_once).items():
        if name == "__metadata__":
            continue
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise ValueError(f"a tensor has an unreadable name: {name[:60]!a}")
        start, end = map(_bounded, entry["data_offsets"])
        tensors[name] = tensor = Tensor(_known(name, entry["dtype"]), _shape(entry["shape"]))
        _check_extent(name, tensor, end - start)
        places.append((start, end, name))
    return tensors, _side_by_side(places)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _bounded(number: object) -> int:
    if type(number) is not int or not 0 <= number <= LARGEST:
        raise ValueError(f"{ascii(number)[:40]} is no size")
    return number


def _shape(sides: object) -> tuple[int, ...]:
    if not isinstance(sides, list) or len(sides) > MOST_SIDES:
        raise ValueError("a shape is no short list of sizes")
    return tuple(map(_bounded, sides))


def _known(name: str, dtype: object) -> str:
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(f"the tensor {name} has an unknown number format, {ascii(dtype)[:40]}")
    return dtype


def _check_extent(name: str, tensor: Tensor, size: int) -> None:
    if size < 0 or tensor.numbers * BITS[tensor.dtype] != size * 8:
        raise ValueError(f"the tensor {name} takes {size:,} bytes, which is not its shape")


def _side_by_side(places: list[tuple[int, int, str]]) -> int:
    last = 0
    for start, end, name in sorted(places):
        if start != last:
            raise ValueError(f"the tensor {name} overlaps another one or follows a hole")
        last = end
    return last


def layer_numbers(names: Iterable[str]) -> dict[str, set[int]]:
    """The stacks of layers in a model and the numbers of the layers that are there."""
    stacks: dict[str, set[int]] = {}
    for name in names:
        if (match := _LAYER.match(name)) and not _NOT_TEXT.search(match["stack"]):
            stacks.setdefault(match["stack"], set()).add(int(match["number"]))
    return stacks


def text_stack(names: Iterable[str]) -> tuple[str, set[int]]:
    """The language model's stack of layers: the deepest one that reads text."""
    stacks = layer_numbers(names)
    if not stacks:
        return "", set()
    return max(stacks.items(), key=lambda entry: len(entry[1]))


def linear_layers(tensors: Tensors, stack: str) -> dict[str, tuple[int, int]]:
    """Shapes of the linear layers of layer 0, by their last name.

    Experts and the router that chooses among them are not: they are loaded as something else.
    """
    paths = _linear_paths(tensors, stack)
    uses = _uses(paths)
    return {_short(path, uses): (shape[0], shape[1]) for path, shape in paths.items()}


def biases(tensors: Tensors, stack: str) -> dict[str, int]:
    """Numbers in the biases of these layers, by the same names; most have none."""
    paths = _linear_paths(tensors, stack)
    uses = _uses(paths)
    found = {path: tensors.get(f"{stack}0.{path}.bias") for path in paths}
    return {_short(path, uses): bias.numbers for path, bias in found.items() if bias}


def count_biases(tensors: Tensors) -> int:
    """Numbers in all biases of the language model; GPT-2's files call a mask so, which is none."""
    return sum(
        tensor.numbers
        for name, tensor in tensors.items()
        if name.endswith(".bias") and len(tensor.shape) == 1 and not _NOT_TEXT.search(name)
    )


def _linear_paths(tensors: Tensors, stack: str) -> dict[str, tuple[int, ...]]:
    first = f"{stack}0."
    return {
        name.removeprefix(first).removesuffix(".weight"): tensor.shape
        for name, tensor in tensors.items()
        if stack and name.startswith(first) and name.endswith(".weight")
        if len(tensor.shape) == 2 and ".experts." not in name and not _ROUTER.search(name)
    }


def _uses(paths: Iterable[str]) -> Counter[str]:
    return Counter(path.rsplit(".", 1)[-1] for path in paths)


def _short(path: str, uses: Counter[str]) -> str:
    """The last name; with its parent where two layers share it, as GPT-2's two `c_proj` do."""
    *parents, leaf = path.split(".")
    return leaf if uses[leaf] == 1 or not parents else f"{parents[-1]}.{leaf}"


def embedding(tensors: Tensors) -> Tensor | None:
    """The token embedding."""
    return _named(tensors, ("embed_tokens.weight", "wte.weight", "embed_in.weight",
                            "word_embeddings.weight", "tok_embeddings.weight"))  # fmt: skip


def _named(tensors: Tensors, endings: tuple[str, ...]) -> Tensor | None:
    for name, tensor in tensors.items():
        if name.endswith(endings) and len(tensor.shape) == 2 and not _NOT_TEXT.search(name):
            return tensor
    return None


_PACKING = ("scales", "qzeros", "g_idx", "absmax", "quant_map", "quant_state", "nested_absmax",
            "weight_scale", "weight_scale_inv", "input_scale", "weight_shape")  # fmt: skip


def count_parameters(tensors: Tensors, *, tied: bool, packed_bits: int = 0) -> int:
    """Numbers in the model; a tied output layer stored a second time counts once.

    A quantised checkpoint packs several numbers into one stored integer of `packed_bits` each.
    """
    total = 0
    for name, tensor in tensors.items():
        if tied and name.endswith("lm_head.weight") and embedding(tensors):
            continue
        if packed_bits and any(part in name.split(".")[-1] for part in _PACKING):
            continue
        packed = packed_bits and tensor.dtype in ("I32", "U8", "I64", "U32")
        total += tensor.numbers * (BITS[tensor.dtype] // packed_bits if packed else 1)
    return total


def stored_as(tensors: Tensors) -> str:
    """The number format that most of the model is stored in, for instance "bf16"."""
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.numbers
    most = sizes.most_common(1)[0][0] if sizes else ""
    return NAMES.get(most, most.lower())
