"""LLaMA-Factory's dataset_info.json: local files under other names for columns and roles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from core.errors import DataError
from core.reading.base import BadLine, Line

NAME = "dataset_info.json"
_MAX_BYTES = 5_000_000
_REMOTE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_HINT = f"Choose one with {NAME}#NAME, or choose its file directly."
_COLUMNS = {
    "prompt": "instruction", "query": "input", "response": "output", "system": "system",
    "messages": "conversations", "chosen": "chosen", "rejected": "rejected",
    "kto_tag": "label", "tools": "tools",
}  # fmt: skip
"""Their parts of a row, and the column of ours that plays it."""
_ROLES = {
    "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system",
    "observation_tag": "observation", "function_tag": "function_call",
}  # fmt: skip


class Entry(NamedTuple):
    """One dataset of the list: its file, and how its rows are renamed."""

    path: Path
    columns: Mapping[str, str]
    role_key: str
    text_key: str
    roles: Mapping[str, str]

    def rename(self, line: Line | BadLine) -> Line | BadLine:
        """The row under the names that ShareGPT and Alpaca use."""
        if isinstance(line, BadLine):
            return line
        row = {self.columns.get(name, name): value for name, value in line.row.items()}
        if isinstance(turns := row.get("conversations"), list):
            row["conversations"] = [self._turn(turn) for turn in turns]
        return line._replace(row=row)

    def _turn(self, turn: Any) -> Any:
        if not isinstance(turn, dict):
            return turn
        keys = {self.role_key: "from", self.text_key: "value"}
        renamed = {keys.get(key, key): value for key, value in turn.items()}
        role = renamed.get("from")
        return renamed | ({"from": self.roles.get(role, role)} if isinstance(role, str) else {})


def is_list(path: Path) -> bool:
    """Whether this names such a list, or a dataset in it: `dataset_info.json#name`."""
    return path.name.partition("#")[0] == NAME


def find_entry(path: Path) -> Entry:
    """The dataset that is meant. Raises DataError for foreign files and anything unclear."""
    file, _, wanted = path.name.partition("#")
    source = path.with_name(file)
    listed = _read(source)
    local = {name: spec for name, spec in listed.items() if not _foreign(spec)}
    if wanted and wanted not in listed:
        raise DataError(f"{source} lists no dataset {wanted!r}.", hint=_names(listed))
    if not wanted and len(local) != 1:
        raise DataError(f"{source} lists {len(local)} local datasets.", hint=_names(local))
    name = wanted or next(iter(local))
    if reason := _foreign(listed[name]):
        raise DataError(f"{source}: the dataset {name!r} {reason}.", hint="Only files are read.")
    return _entry(source, name, listed[name])


def _read(source: Path) -> dict[str, Any]:
    try:
        with source.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        listed = json.loads(raw.decode("utf-8-sig")) if len(raw) <= _MAX_BYTES else None
    except FileNotFoundError as error:
        raise DataError(f"There is no file {source}.", hint="Check the spelling.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{source} cannot be read: {error}.", hint="Repair the list.") from error
    if not isinstance(listed, dict) or not all(isinstance(v, dict) for v in listed.values()):
        raise DataError(f"{source} is not a list of datasets by name.", hint="Choose a data file.")
    return listed


def _names(listed: Mapping[str, Any]) -> str:
    return f"{_HINT} There is: {', '.join(list(listed)[:8]) or 'none'}."


def _foreign(spec: Mapping[str, Any]) -> str:
    """Why a dataset is not a file of this folder, as far as its entry says."""
    where = next((key for key in _REMOTE if spec.get(key)), "")
    if where:
        return f"lies somewhere else ({where})"
    return "" if isinstance(spec.get("file_name"), str) else "names no file"


def _entry(source: Path, name: str, spec: Mapping[str, Any]) -> Entry:
    columns, tags = _texts(spec.get("columns")), _texts(spec.get("tags"))
    if spec.get("formatting", "alpaca") not in ("alpaca", "sharegpt"):
        raise DataError(
            f"{source}: {name!r} has the formatting {spec['formatting']!r}.",
            hint="Choose the data file itself; its format is recognised.",
        )
    return Entry(
        path=_inside(source, name, spec["file_name"]),
        columns={theirs: _COLUMNS[part] for part, theirs in columns.items() if part in _COLUMNS},
        role_key=tags.get("role_tag", "from"),
        text_key=tags.get("content_tag", "value"),
        roles={tags[tag]: role for tag, role in _ROLES.items() if tag in tags},
    )


def _texts(value: Any) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in pairs if isinstance(text, str)}


def _inside(source: Path, name: str, file_name: str) -> Path:
    """The named file, which must lie in the folder of the list even behind links."""
    folder = source.parent.resolve()
    parts = PurePosixPath(file_name.replace("\\", "/"))
    path = folder / parts
    outside = "://" in file_name or parts.is_absolute() or not path.resolve().is_relative_to(folder)
    if outside or ".." in parts.parts or path.resolve() in (folder, source.resolve()):
        raise DataError(
            f"{source}: {name!r} names {file_name!r}, which is not a file inside this folder.",
            hint="Copy the file beside the list and name it without a folder.",
        )
    return path
