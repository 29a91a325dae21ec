"""YAML from strangers: bounded in size and depth, without aliases, faults with their line."""

from __future__ import annotations

from pathlib import Path

import yaml

from core.errors import YamlError

MAX_BYTES = 1_000_000
"""What people write is some pages of text; anything larger is something else."""
MAX_DEPTH = 20
_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)
_HINT = "YAML needs `name: value`, two spaces of indent, and quotes round text with a colon."


def read_yaml(path: Path) -> object:
    """The plain data in a YAML file. Raises OSError, or YamlError with file and line."""
    try:
        text = _bounded_text(path)
        _refuse_bombs(path, text)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise YamlError(f"{place}: {error.problem or error}", hint=_HINT) from error
    except (yaml.YAMLError, ValueError) as error:  # no UTF-8, the 31st of June, 5,000 digits
        raise YamlError(f"{path}: not a YAML text: {error}", hint=_HINT) from error


def _bounded_text(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise YamlError(f"{path}: larger than 1 MB, which no such file needs", hint=_HINT)
    return raw.decode("utf-8-sig")


def _refuse_bombs(path: Path, text: str) -> None:
    """A nine-level alias bomb never prints, and deep nesting exhausts the parser's stack."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken):
            raise YamlError(f"{path}: line {line}: YAML aliases (*) are not allowed", hint=_HINT)
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise YamlError(f"{path}: line {line}: nested too deeply", hint=_HINT)
