"""Weights that lie in a pickle, written as safetensors by a process with nothing to lose.

The files of a stranger are first read without running anything (core/screening/pickles.py), then
opened one by one in a process without network, whose memory, time and output are limited, and
which may start no other program. What it wrote is judged like any other download.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path

from core import durable, weights
from core.asking import ask
from core.errors import CoreError, ModelError, RunError
from core.screening import screen
from core.screening.adapter import SETTINGS, WEIGHTS
from core.screening.base import MAX_TOKENIZER, read_json, text_of
from core.screening.files import check_files
from core.screening.pickles import refuse_all_but_tensors
from core.value import Value

PATIENCE = 1800.0
"""Seconds for one file; the process ends itself long before by the time it may compute."""
_INDEX = "pytorch_model.bin.index.json"
_ENDINGS = (".bin", ".pt", ".pth", ".ckpt")
_BESIDE = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab"
    r"|adapter_config|preprocessor_config|processor_config|chat_template)\.json"
    r"|merges\.txt|chat_template\.jinja|[\w.-]{1,60}\.model|README\.md|LICENSE[\w.]{0,20}|NOTICE"
)
"""What is copied: no programs, no links, no other weights."""
_NOT_WEIGHTS = {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt",
                "rng_state.pth", "scaler.pt"}  # fmt: skip


class Conversion(Value):
    """One pickle, and the safetensors file that its tensors go to."""

    source: Path
    out: Path


class Written(Value):
    """What the process wrote."""

    tensors: int
    sealed: bool
    """Whether the system itself kept it from the network and from other programs."""


class Converted(Value):
    """A folder in safetensors."""

    folder: Path
    files: tuple[str, ...]
    tensors: int
    bytes: int
    sealed: bool


def convert(folder: Path, out: Path) -> Converted:
    """Write the model or adapter of a folder anew, in safetensors. Raises CoreError.

    The new folder is whole or absent.
    """
    if out.exists():
        raise CoreError(f"{out} exists already.", hint="Name a new folder with -o.")
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}.", hint="Check the spelling.")
    check_files(folder)
    sources = pickled(folder)
    for source in sources:
        refuse_all_but_tensors(source)
    try:
        with durable.staged(out) as aside:
            _copy(folder, aside)
            told = [_one(source, aside / name) for source, name in _targets(folder, sources)]
            _index(aside)
            screen(aside)
            size = durable.seal(aside)
    except OSError as error:
        raise RunError(f"Cannot write {out}: {error.strerror or error}.") from error
    return Converted(
        folder=out,
        files=tuple(sorted(path.name for path in out.iterdir())),
        tensors=sum(each.tensors for each in told),
        bytes=size,
        sealed=all(each.sealed for each in told),
    )


def pickled(folder: Path) -> list[Path]:
    """The pickles that hold the weights of a folder. Raises ModelError."""
    if any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} has its weights in safetensors already.", hint="Use it as it is."
        )
    if (folder / _INDEX).is_file():
        return _shards(folder)
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in _ENDINGS and path.name not in _NOT_WEIGHTS and path.is_file()
    )
    if len(found) == 1:
        return found
    what = f"{len(found)} files of weights and no {_INDEX}" if found else "no pickled weights"
    raise ModelError(
        f"{folder} has {what}, so it is unclear what to convert.",
        hint="Choose the folder of one model or adapter, with its weights in one .bin or .pt file.",
    )


def _shards(folder: Path) -> list[Path]:
    found = read_json(folder / _INDEX, MAX_TOKENIZER).get("weight_map")
    names = sorted({str(name) for name in found.values()}) if isinstance(found, dict) else []
    for name in names:
        if not re.fullmatch(r"[\w-][\w.-]{0,100}\.bin", name) or not (folder / name).is_file():
            raise ModelError(
                f"{folder / _INDEX} names a file that is not in the folder: {text_of(name)}.",
                hint="The download is incomplete, or the index was tampered with.",
            )
    if not names:
        raise ModelError(f"{folder / _INDEX} names no files.", hint="Download the model again.")
    return [folder / name for name in names]


def _targets(folder: Path, sources: list[Path]) -> list[tuple[Path, str]]:
    if (folder / SETTINGS).is_file():
        return [(sources[0], WEIGHTS)]
    if len(sources) == 1:
        return [(sources[0], weights.SINGLE)]
    last = len(sources)
    return [
        (source, f"model-{number:05}-of-{last:05}.safetensors")
        for number, source in enumerate(sources, 1)
    ]


def _copy(folder: Path, aside: Path) -> None:
    for path in sorted(folder.iterdir()):
        plain = path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_TOKENIZER
        if plain and _BESIDE.fullmatch(path.name):
            shutil.copyfile(path, aside / path.name)


def _one(source: Path, out: Path) -> Written:
    """Let the process convert a file in a folder of its own, and judge what it left there."""
    late = RunError(f"{source.name} was not converted within {PATIENCE:,.0f} seconds.")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".apart-") as apart:
        made = Path(apart) / out.name
        request = Conversion(source=source.absolute(), out=made.absolute()).model_dump_json()
        try:
            told = Written.model_validate(ask("convert", request, timeout=PATIENCE, late=late))
        except RunError as error:
            raise ModelError(
                f"{source} could not be converted: {error}",
                hint="Its content is not what it claims to be; nothing else was harmed. Do not "
                "open it with another program.",
            ) from error
        if len(weights.read_header(made)) != told.tensors:
            raise ModelError(f"{source}: not every tensor was written.", hint="Try again.")
        made.rename(out)
    return told


def _index(aside: Path) -> None:
    """Which tensor lies in which file, where there are several."""
    files = sorted(aside.glob("model-*-of-*.safetensors"))
    if not files:
        return
    found = {name: file.name for file in files for name in weights.read_header(file)}
    size = sum(file.stat().st_size for file in files)
    text = json.dumps({"metadata": {"total_size": size}, "weight_map": found}, indent=1)
    (aside / weights.INDEX).write_text(text, encoding="utf-8")
