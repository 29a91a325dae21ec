"""Rows of .jsonl, .json, .csv and .tsv files, each with its line number. Strict, and bounded.

Nothing is guessed: text that is not valid, lines that do not parse and rows with a wrong number of
cells come out as `BadLine` and are named by whoever reads on.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from core.errors import DataError

MAX_LINE = 8_000_000
"""Characters of one line; longer ones are whole files that lost their line breaks."""
MAX_JSON = 1_000_000_000
"""Bytes of a .json file, which must be read in one piece; .jsonl has no limit."""
KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_SUPPORTED = "Supported are .jsonl, .ndjson, .json, .csv and .tsv."
_MAGIC = (
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Unpack it, or save the sheet as CSV."),
    (b"PAR1", "a Parquet table", "Convert it to .jsonl, for instance with to_json()."),
    (b"version https://git-lfs", "a pointer to a file that was not downloaded",
     "Download the file itself (git lfs pull)."),
    (b"<!DOCTYPE", "a web page", "Download the file itself, not the page about it."),
    (b"<html", "a web page", "Download the file itself, not the page about it."),
)  # fmt: skip


class Line(NamedTuple):
    """One row as it was written; `number` is its first line in the file."""

    number: int
    row: dict[str, Any]


class BadLine(NamedTuple):
    """A place in the file that is not a row."""

    number: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}, column {self.column}: {self.reason}"


Read = Iterator[Line | BadLine]


def read_rows(path: Path) -> Read:
    """Every row of a file, and every place where a row should be. Raises DataError."""
    encoding = _open_check(path)
    reader: dict[str, Callable[[Path, str], Read]] = {
        ".json": _json,
        ".csv": _table,
        ".tsv": _table,
    }
    try:
        yield from reader.get(path.suffix.lower(), _json_lines)(path, encoding)
    except OSError as error:
        raise _unreadable(path, error) from error


def _open_check(path: Path) -> str:
    """The file's encoding; everything that is not one of our kinds is refused by name."""
    if path.is_dir():
        raise DataError(f"{path} is a folder.", hint=_files_in(path))
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.", hint="Check the spelling.") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    for magic, what, hint in _MAGIC:
        if start.startswith(magic):
            raise DataError(f"{path} is {what}.", hint=hint)
    if path.suffix.lower() not in KINDS:
        named = f"a {path.suffix} file" if path.suffix else "a file without an ending"
        raise DataError(f"{path} is {named}, which cannot be read as rows.", hint=_SUPPORTED)
    if not start.strip():
        raise DataError(f"{path} is empty.", hint="Choose a file with rows in it.")
    return _encoding(path, start)


def _files_in(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in KINDS)
    return f"Choose a file in it: {', '.join(names[:5])}." if names else _SUPPORTED


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path} cannot be read: {error.strerror or error}.",
        hint="Check that the file is there and that you may read it.",
    )


def _encoding(path: Path, start: bytes) -> str:
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if start.startswith(mark):
            return "utf-16"
    if b"\0" in start:
        raise DataError(
            f"{path} is not text: it holds a zero byte at position {start.index(0)}.",
            hint="Choose a text file. A table of numbers or a model is no dataset.",
        )
    return "utf-8-sig"


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str | BadLine]]:
    """Numbered lines without their ends; too long or undecodable ones as BadLine."""
    if encoding == "utf-16":
        with path.open(encoding=encoding, newline="", errors="replace") as text:
            yield from _text_lines(text)
        return
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), start=1):
            if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
                yield number, _too_long(number)
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE)
                continue
            yield number, _decode(number, raw)


def _decode(number: int, raw: bytes) -> str | BadLine:
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} of the line (0x{raw[error.start]:02X}) is not UTF-8"
        return BadLine(number, error.start + 1, f"{byte}; save the file as UTF-8")
    return _without_nul(number, text)


def _text_lines(text: TextIO) -> Iterator[tuple[int, str | BadLine]]:
    for number, line in enumerate(iter(lambda: text.readline(MAX_LINE + 1), ""), start=1):
        if len(line) > MAX_LINE and not line.endswith("\n"):
            yield number, _too_long(number)
            return
        broken = line.find("\N{REPLACEMENT CHARACTER}")
        if broken >= 0:
            yield number, BadLine(number, broken + 1, "not valid UTF-16; save the file as UTF-8")
        else:
            yield number, _without_nul(number, line)


def _without_nul(number: int, text: str) -> str | BadLine:
    place = text.find("\0")
    if place >= 0:
        return BadLine(number, place + 1, "a zero byte, which no text has")
    return text


def _too_long(number: int) -> BadLine:
    return BadLine(number, 1, f"longer than {MAX_LINE // 1_000_000} MB; one row per line is needed")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _json_lines(path: Path, encoding: str) -> Read:
    for number, line in _lines(path, encoding):
        if isinstance(line, BadLine):
            yield line
        elif line.strip():
            yield _parse(number, line)


def _parse(number: int, line: str) -> Line | BadLine:
    try:
        row = _DECODER.decode(line.rstrip())
    except json.JSONDecodeError as error:
        return BadLine(number, error.colno, f"not valid JSON: {error.msg}")
    except RecursionError:
        return BadLine(number, 1, "nested too deep")
    except ValueError as error:
        return BadLine(number, 1, str(error)[:200])
    return _row(number, 1, row)


def _row(number: int, column: int, value: Any) -> Line | BadLine:
    if isinstance(value, dict):
        return Line(number, value)
    return BadLine(number, column, 'a row must be an object in braces, like {"prompt": "..."}')


def _json(path: Path, encoding: str) -> Read:
    """A list of objects, or an object with such a list under "data"."""
    text = _whole(path, encoding)
    if _looks_like_lines(text):
        yield from _json_lines(path, encoding)
        return
    place = _Place(text)
    try:
        start = _find_list(text)
        for begin, value in _elements(text, start):
            line, column = place.of(begin)
            yield _row(line, column, value)
    except json.JSONDecodeError as error:
        yield BadLine(error.lineno, error.colno, f"not valid JSON: {error.msg}")
    except RecursionError:
        yield BadLine(*place.of(place.index), "nested too deep")
    except ValueError as error:
        yield BadLine(*place.of(place.index), str(error)[:200])


def _whole(path: Path, encoding: str) -> str:
    if path.stat().st_size > MAX_JSON:
        raise DataError(
            f"{path} is larger than {MAX_JSON // 10**9} GB, too large for one piece of JSON.",
            hint="Convert it to .jsonl, one row per line, which is read line by line.",
        )
    parts = []
    for _, line in _lines(path, encoding):
        if isinstance(line, BadLine):
            raise DataError(f"{path}: {line}.", hint="Save the file as UTF-8 text.")
        parts.append(line)
    return "".join(parts)


def _looks_like_lines(text: str) -> bool:
    """Whether a .json file is JSON lines under another name, as many are."""
    first, _, rest = text.lstrip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and rest.lstrip().startswith("{")


class _Place:
    """Turns growing positions in a text into lines and columns, in one pass."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self.index = 0

    def of(self, index: int) -> tuple[int, int]:
        """Line and column of a position that is not before the last one asked for."""
        self._line += self._text.count("\n", self.index, index)
        self.index = index
        return self._line, index - self._text.rfind("\n", 0, index)


def _skip(text: str, index: int, also: str = "") -> int:
    while index < len(text) and text[index] in " \t\r\n" + also:
        index += 1
    return index


def _expect(text: str, index: int, letter: str) -> int:
    index = _skip(text, index)
    if text[index : index + 1] != letter:
        raise json.JSONDecodeError(f"expected '{letter}'", text, min(index, len(text)))
    return index + 1


def _find_list(text: str) -> int:
    """Where the list of rows begins, behind its bracket."""
    index = _skip(text, 0)
    if text[index : index + 1] != "{":
        return _expect(text, index, "[")
    index, keys = index + 1, []
    while text[_skip(text, index)] != "}":
        key, index = _DECODER.raw_decode(text, _skip(text, index))
        keys.append(str(key))
        index = _skip(text, _expect(text, index, ":"))
        if key == "data" and text[index : index + 1] == "[":
            return index + 1
        _, index = _DECODER.raw_decode(text, index)
        index = _skip(text, index)
        if text[index : index + 1] == ",":
            index += 1
        elif text[index : index + 1] != "}":
            raise json.JSONDecodeError("expected ',' or '}'", text, index)
    raise ValueError(f'expected is a list of rows, or one under "data"; found: {", ".join(keys)}')


def _elements(text: str, index: int) -> Iterator[tuple[int, Any]]:
    """The values of a list and where each begins; the bracket is behind us."""
    index = _skip(text, index)
    while text[index : index + 1] != "]":
        value, end = _DECODER.raw_decode(text, index)
        yield index, value
        index = _skip(text, end)
        if text[index : index + 1] == ",":
            index = _skip(text, index + 1)
        elif text[index : index + 1] != "]":
            raise json.JSONDecodeError("expected ',' or ']'", text, index)


def _table(path: Path, encoding: str) -> Read:
    """Rows of a table with a header line."""
    csv.field_size_limit(MAX_LINE)
    bad: list[BadLine] = []
    reader = csv.reader(
        _good_lines(path, encoding, bad), delimiter=_delimiter(path, encoding), strict=True
    )
    header = _header(path, reader)
    before = reader.line_num
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield BadLine(before + 1, 1, f"not a valid row of a table: {error}")
            return
        yield from bad
        bad.clear()
        if cells is None:
            return
        if cells:
            yield _cells(before + 1, header, cells)
        before = reader.line_num


def _good_lines(path: Path, encoding: str, bad: list[BadLine]) -> Iterator[str]:
    """Lines for the table reader; a bad one is set aside and read as an empty line."""
    for _, line in _lines(path, encoding):
        if isinstance(line, BadLine):
            bad.append(line)
            yield "\n"
        else:
            yield line


def _delimiter(path: Path, encoding: str) -> str:
    """Tabs in .tsv; in .csv whatever parts the header: comma, semicolon or tab."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    _, first = next(_lines(path, encoding))
    header = first if isinstance(first, str) else ""
    return max(",;\t", key=header.count)


def _header(path: Path, reader: Any) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{path}, line 1: not a valid header: {error}.") from error
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}, line 1: the column {twice[0]!r} is there twice.",
            hint="Give every column a name of its own in the first line.",
        )
    return header


def _cells(number: int, header: list[str], cells: list[str]) -> Line | BadLine:
    if len(cells) != len(header):
        reason = f"{len(cells)} cells, the header has {len(header)} columns"
        return BadLine(number, 1, f"{reason}; put cells that hold the separator in quotes")
    return Line(number, dict(zip(header, cells, strict=True)))
