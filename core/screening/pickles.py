"""What a pickle would call, read without calling any of it.

A pickle is a program. This reads its instructions with the standard library's disassembler, which
runs none of them, and lists the functions that it names.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

from core.errors import ModelError
from core.screening.base import text_of

MAX_PROGRAM = 200_000_000
"""Bytes of instructions; those of a large model have some megabytes."""
MOST_PARTS = 200_000
_NUMBERS = re.compile(
    r"torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter)|collections OrderedDict"
    r"|torch \w{1,20}Storage|torch\.storage (Untyped|Typed)Storage|torch Size"
    r"|torch (b?float|u?int|complex|bool)\w{0,20}"
)
"""What tensors, and nothing else, are put together with."""
_SAVED = re.compile(
    r"(collections (OrderedDict|defaultdict|deque)|_codecs encode|(__builtin__|builtins) set"
    r"|(torch|numpy|torchao|bitsandbytes)[\w.]{0,100} \w{1,60})"
)
"""What a library saves of a training beside its weights; torch narrows it down further."""
_UNSAFE = re.compile(r"sparse|nested|_get_layout|\beval\b|\bload|jit|hub|_dynamo|_inductor")
_HIDDEN = {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"}
"""Instructions that call what is not written out beside them; none is needed for tensors."""
_IN_OLD = 5
"""Pickles in a file of torch before 1.6: a mark, versions, the machine, tensors, their places."""


def refuse_all_but_tensors(path: Path) -> None:
    """Raise ModelError unless a file saved by torch can hold nothing but plain tensors."""
    _refuse(path, _NUMBERS)


def refuse_harmful_state(folder: Path) -> None:
    """Judge what a checkpoint holds beside its weights, before torch opens it. ModelError.

    That torch calls only what it knows keeps strangers' programs out, not tensors whose parts
    contradict each other: computing with those ends the process.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in (".pt", ".pth", ".bin") and path.is_file():
            _refuse(path, _SAVED)


def _refuse(path: Path, allowed: re.Pattern[str]) -> None:
    try:
        named = calls(path)
    except (ValueError, OSError, zipfile.BadZipFile, IndexError, RecursionError) as error:
        raise ModelError(
            f"{path} is not what torch saves: {text_of(str(error))}.", hint="The file is damaged."
        ) from error
    for name in sorted(named):
        if not allowed.fullmatch(name) or _UNSAFE.search(name):
            kind = (
                "sparse tensors, which can" if "sparse" in name else f"{text_of(name)}, which can"
            )
            raise ModelError(
                f"{path} holds more than plain tensors: it asks for {kind} crash or take over the "
                "program that opens it.",
                hint="Do not open this file with anything, unless you know who made it.",
            )


def calls(path: Path) -> set[str]:
    """Everything that a file saved by torch would call, as "module name".

    Raises ValueError for what torch does not write, OSError and BadZipFile.
    """
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start == b"PK\x03\x04":
            return _named(io.BytesIO(_program(file, path.stat().st_size)))
        return {name for _ in range(_IN_OLD) for name in _named(file)}


def _program(file: BinaryIO, size: int) -> bytes:
    """The instructions inside of an archive that claims no more than it holds."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > size:
            raise ValueError("its parts are larger than the file")
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("its parts are compressed")
        found = [part for part in parts if part.filename.endswith(".pkl")]
        if len(found) != 1 or not found[0].filename.endswith("data.pkl"):
            raise ValueError("it holds no or several programs")
        if found[0].file_size > MAX_PROGRAM:
            raise ValueError("its program is too large")
        return archive.read(found[0])


def _named(program: BinaryIO) -> set[str]:
    named: set[str] = set()
    for instruction, argument, _ in pickletools.genops(program):
        if instruction.name == "GLOBAL":
            named.add(str(argument))
        elif instruction.name in _HIDDEN:
            named.add(f"hidden {instruction.name}")
    return named
