"""Rows of JSON lines and of JSON in one piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.reading import base
from core.reading.base import BadLine, Line, Read, row_or_bad
from core.reading.text import numbered_lines


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def json_lines(path: Path) -> Read:
    """One object per line."""
    for number, line in numbered_lines(path):
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
    return row_or_bad(number, 1, row)


def json_whole(path: Path) -> Read:
    """A list of objects, or an object with such a list under "data"."""
    text = _whole(path)
    if _looks_like_lines(text):
        yield from json_lines(path)
        return
    place = _Place(text)
    try:
        start = _find_list(text)
        for begin, value in _elements(text, start):
            line, column = place.of(begin)
            yield row_or_bad(line, column, value)
    except json.JSONDecodeError as error:
        yield BadLine(error.lineno, error.colno, f"not valid JSON: {error.msg}")
    except RecursionError:
        yield BadLine(*place.of(place.index), "nested too deep")
    except ValueError as error:
        yield BadLine(*place.of(place.index), str(error)[:200])


def _whole(path: Path) -> str:
    """The whole text; how much there is shows while it is read, since packed files may grow."""
    parts, length = [], 0
    for _, line in numbered_lines(path):
        if isinstance(line, BadLine):
            raise DataError(f"{path}: {line}.", hint="Save the file as UTF-8 text.")
        parts.append(line)
        length += len(line)
        if length > base.WHOLE_LIMIT:
            raise DataError(
                f"{path} is larger than {base.WHOLE_LIMIT // 10**9} GB, too large for one piece "
                "of JSON.",
                hint="Convert it to .jsonl, one row per line, which is read line by line.",
            )
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
    while not text.startswith("}", index := _skip(text, index)):
        key, index = _DECODER.raw_decode(text, index)
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
