"""Datasets and recipes that ask for other files, for all memory or time, or for a program."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import zstandard
from pyarrow import ipc

from core import recipe
from core.dataset import inspect_data
from tests.core.hostile.adapters import Payload
from tests.core.hostile.cases import Case, Place
from tests.core.hostile.models import Make

Content = Callable[[Place], bytes]
ROW: dict[str, Any] = {"prompt": "What is it?", "answer": "A test."}
GOOD = "".join(json.dumps(ROW | {"prompt": f"Question {n}?"}) + "\n" for n in range(8)).encode()
FIRST = "rows.jsonl"


def one(name: str, content: bytes | Content) -> Make:
    """A folder with this one file."""

    def make(place: Place) -> None:
        place.folder.mkdir()
        (place.folder / name).write_bytes(content if isinstance(content, bytes) else content(place))

    return make


def listed(**entry: Any) -> Make:
    """LLaMA-Factory's list of datasets with one entry."""
    return one(
        "dataset_info.json",
        lambda p: json.dumps({"x": entry}).replace("OUTSIDE", str(p.outside)).encode(),
    )


def _row(**more: Any) -> bytes:
    return json.dumps(ROW | more).encode() + b"\n"


def _nested(depth: int) -> Any:
    return [_nested(depth - 1)] if depth else "x"


def _link(place: Place) -> None:
    place.folder.mkdir()
    (place.outside / "secret.jsonl").write_bytes(GOOD)
    (place.folder / "rows.jsonl").symlink_to(place.outside / "secret.jsonl")


def _listed_link(place: Place) -> None:
    _link(place)
    note = {"x": {"file_name": "rows.jsonl"}}
    (place.folder / "dataset_info.json").write_text(json.dumps(note))


def _pipe(place: Place) -> None:
    place.folder.mkdir()
    os.mkfifo(place.folder / "rows.jsonl")


def _pickle(place: Place) -> bytes:
    return pickle.dumps([Payload(place.marker)], protocol=4)


def _old_pickle(place: Place) -> bytes:
    return pickle.dumps([Payload(place.marker)], protocol=0)


def _zip(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, GOOD)
    return made.getvalue()


def _tar(name: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(GOOD)
        archive.addfile(entry, io.BytesIO(GOOD))
    return made.getvalue()


def _gzip_bomb(_: Place) -> bytes:
    """Rows that are sound, then much of nothing in little."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", compresslevel=1) as file:
        file.write(GOOD)
        for _number in range(6):
            file.write((b" " * 99_999 + b"\n") * 100)
    return made.getvalue()


def _zstd_bomb(_: Place) -> bytes:
    return zstandard.compress(GOOD + (b" " * 99_999 + b"\n") * 600)


def _workbook_bomb(_: Place) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 60_000_000)
    return made.getvalue()


def _arrow(*, file: bool, end: int) -> bytes:
    """A text whose end lies outside of the table."""
    table, made = pyarrow.table({"text": ["x" * 777]}), io.BytesIO()
    opener = ipc.new_file if file else ipc.new_stream
    with opener(made, table.schema) as writer:
        writer.write_table(table)
    usual, false = ((0).to_bytes(4, "little") + n.to_bytes(4, "little", signed=True)
                    for n in (777, end))  # fmt: skip
    assert usual in made.getvalue()
    return made.getvalue().replace(usual, false)


def _rows(folder: Path) -> object:
    """What a user chose: the one file, or the folder."""
    files = [path for path in folder.iterdir() if not path.is_symlink()]
    return inspect_data(files[0] if len(files) == 1 else folder)


def _list(folder: Path) -> object:
    return inspect_data(folder / "dataset_info.json#x")


_DEEP = b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b', "answer": "x"}\n'
_DATA: tuple[tuple[str, Make, str], ...] = (
    ("rows in a pickle", one("rows.pkl", _pickle), "a pickle, a program"),
    ("a pickle called rows", one(FIRST, _pickle), "a pickle, a program"),
    ("an old pickle", one("rows.pkl", _old_pickle), "a .pkl file"),
    ("a packed pickle", one("rows.jsonl.gz", lambda p: gzip.compress(_pickle(p))), "a pickle"),
    ("an array with objects", one("rows.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}"), "numpy"),
    ("arrays", one("rows.npz", _zip("a.npy")), "a zip archive"),
    ("joblib rows", one("rows.joblib", b"x\x9c" + bytes(40)), "a .joblib file"),
    ("rows of HDF5", one("rows.h5", b"\x89HDF\r\n\x1a\n" + bytes(40)), "an HDF5 file"),
    ("a database", one("rows.db", b"SQLite format 3\0" + bytes(40)), "a database"),
    ("a program", one("rows.py", lambda p: p.code.encode()), "a .py file"),
    ("a zip with a way out", one("rows.zip", _zip("../../outside/x.jsonl")), "a zip archive"),
    ("a zip called rows", one(FIRST, _zip("/etc/cron.d/x")), "a zip archive"),
    ("a tar with a way out", one("rows.tar", _tar("../../outside/x.jsonl")), "a .tar file"),
    ("a packed tar", one("rows.tar.gz", gzip.compress(_tar("/x"))), "a .tar file"),
    ("a 7z archive", one("rows.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40)), "a 7z archive"),
    ("an xz archive", one("rows.jsonl.xz", b"\xfd7zXZ\0" + bytes(40)), "an xz archive"),
    ("a gzip bomb", one("rows.jsonl.gz", _gzip_bomb), "unpacks to more than"),
    ("a zstd bomb", one("rows.jsonl.zst", _zstd_bomb), "unpacks to more than"),
    ("a zstd window", one("rows.jsonl.zst", b"\x28\xb5\x2f\xfd\x00\xf8" + bytes(20)), "damaged"),
    ("a workbook bomb", one("rows.xlsx", _workbook_bomb), "unpacks to 60,000,000 bytes"),
    ("texts outside of a table", one("rows.arrow", _arrow(file=True, end=2**30)), "damaged"),
    ("texts outside of a stream", one("rows.arrow", _arrow(file=False, end=-5)), "damaged"),
    ("a table that is none", one("rows.parquet", b"PAR1" + bytes(60) + b"PAR1"), "damaged"),
    ("rows nested without end", one(FIRST, _DEEP), "nested too deep"),
    ("a cell nested without end", one(FIRST, _row(meta=_nested(500))), "nested too deep"),
    ("a row of many columns", one(FIRST, _row(**{f"c{n}": n for n in range(5_000)})),
     "5,002 columns; 2,000 are the most"),
    ("a table of many columns",
     one("rows.csv", f"{','.join(f'c{n}' for n in range(5_000))}\n{',' * 4_999}\n".encode()),
     "5,000 columns; 2,000 are the most"),
    ("rows of endless numbers", one(FIRST, b'{"prompt": NaN, "answer": 1e999}\n'), "NaN"),
    ("a number of many digits", one(FIRST, b'{"prompt": ' + b"9" * 5_000 + b"}\n"), "rows.jsonl"),
    ("a page instead of rows", one(FIRST, b"<!DOCTYPE html><script>x</script>"), "a web page"),
    ("a pointer instead of rows", one(FIRST, b"version https://git-lfs.github.com/spec/v1\n"),
     "was not downloaded"),
    ("links to rows elsewhere", _link, "without a file of rows"),
)  # fmt: skip
_LISTS: tuple[tuple[str, Make, str], ...] = (
    ("a list upwards", listed(file_name="../outside/secret.jsonl"), "not a file inside"),
    ("a list that is absolute", listed(file_name="OUTSIDE/secret.jsonl"), "not a file inside"),
    ("a list with an address", listed(file_name="https://a.b/x.jsonl"), "not a file inside"),
    ("a list with a share", listed(file_name="\\\\host\\share\\x.jsonl"), "not a file inside"),
    ("a list with a program", listed(script_url="x.py"), "lies somewhere else"),
    ("a list with a bucket", listed(cloud_file_name="s3://x"), "lies somewhere else"),
    ("a list of a link", _listed_link, "not a file inside"),
    ("a list nested without end", one("dataset_info.json", b"[" * 100_000), "cannot be read"),
)  # fmt: skip


def _chosen(folder: Path) -> object:
    return recipe.load(folder / "recipe.yaml")


def _billion() -> bytes:
    """Nine levels of nine aliases each."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines).encode()


_YAML: tuple[tuple[str, bytes | Content, str], ...] = (
    ("a recipe with a program", b"name: !!python/object/apply:os.system ['true']\n", "python"),
    ("a recipe with a module", b"name: !!python/name:os.system\n", "python"),
    ("a recipe with aliases", _billion(), "aliases"),
    ("a recipe that merges", b"x: &a {name: x}\ny: {<<: *a}\n", "aliases"),
    ("a recipe nested without end", b"name: " + b"[" * 100_000, "nested too deeply"),
    ("a recipe nested in blocks", b"\n".join(b" " * n + b"a:" for n in range(60)), "nested too"),
    ("a large recipe", b"name: x\n" + b"# y\n" * 300_000, "larger than 1 MB"),
    ("a recipe with surroundings", b"env:\n  LD_PRELOAD: /tmp/evil.so\n", "env: unknown field"),
    ("a recipe with consent", b"trust_remote_code: true\n", "trust_remote_code: unknown field"),
    ("a recipe of bytes", b"name: \xff\xfe\n", "not a YAML text"),
    ("a recipe with a signal", b"name: \"x\"\nmodel: \x1b[2J\n", "recipe.yaml"),
)  # fmt: skip
DATA = [
    *(Case(name, make, _rows, words) for name, make, words in _DATA),
    *(Case(name, make, _list, words) for name, make, words in _LISTS),
    *(Case(name, one("recipe.yaml", text), _chosen, words) for name, text, words in _YAML),
]
if hasattr(os, "mkfifo"):
    DATA.append(Case("a pipe of rows", _pipe, lambda f: inspect_data(f / FIRST), "no regular file"))


def _beside(**files: str) -> Make:
    """Sound rows, and notes for a library that would follow them."""

    def make(place: Place) -> None:
        one(FIRST, GOOD)(place)
        (place.outside / "secret.jsonl").write_bytes(GOOD)
        for name, text in files.items():
            told = text.replace("OUTSIDE", str(place.outside))
            (place.folder / name.replace("__", ".")).write_text(told)

    return make


def _media(place: Place) -> None:
    secret = place.outside / "secret.png"
    secret.write_bytes(b"\x89PNG")
    paths = (str(secret), "https://example.com/x.png", "../outside/secret.png")
    rows = [ROW | {"prompt": f"Q {p}", "image": {"path": p, "bytes": None}} for p in paths]
    one(FIRST, "".join(json.dumps(row) + "\n" for row in rows).encode())(place)


def _extension(place: Place) -> None:
    """A type of Arrow that older versions made from a pickle."""
    told = {"ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(Payload(place.marker), 0)}  # fmt: skip
    fields = [pyarrow.field("prompt", pyarrow.string(), metadata=told),
              pyarrow.field("answer", pyarrow.string())]  # fmt: skip
    table = pyarrow.table(
        [[f"Question {n}" for n in range(5)], [f"Answer {n}" for n in range(5)]],
        schema=pyarrow.schema(fields),
    )
    made = io.BytesIO()
    with ipc.new_stream(made, table.schema) as writer:
        writer.write_table(table)
    one("rows.arrow", made.getvalue())(place)


_README = "---\nconfigs:\n- config_name: default\n  data_files: {}\n  data_dir: {}\n---\n"
HARMLESS_DATA: dict[str, Make] = {
    "a readme that names files elsewhere": _beside(
        README__md=_README.format("OUTSIDE/secret.jsonl", "../outside")
    ),
    "a readme that names an address": _beside(
        README__md=_README.format("https://example.com/x.jsonl", "hf://x")
    ),
    "a state that names a file elsewhere": _beside(
        state__json='{"_data_files": [{"filename": "../outside/secret.jsonl"}]}'
    ),
    "a loading script": _beside(rows__py="open('marker', 'w').close()\n"),
    "pictures elsewhere": _media,
    "a type made from a pickle": _extension,
}
"""Found in the wild; the rows are read, and nothing of it is followed."""
