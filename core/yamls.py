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
    with path.open("rb") as file:
        return parse_yaml(file.read(MAX_BYTES + 1), str(path))


def parse_yaml(raw: bytes, name: str) -> object:
    """The plain data in a YAML text. Raises YamlError with name and line."""
    if len(raw) > MAX_BYTES:
        raise YamlError(f"{name}: larger than 1 MB, which no such file needs", hint=_HINT)
    try:
        text = raw.decode("utf-8-sig")
        _refuse_bombs(name, text)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise YamlError(f"{place}: {error.problem or error}", hint=_HINT) from error
    except (yaml.YAMLError, ValueError) as error:  # no UTF-8, the 31st of June, 5,000 digits
        raise YamlError(f"{name}: not a YAML text: {error}", hint=_HINT) from error


def _refuse_bombs(name: str, text: str) -> None:
    """A nine-level alias bomb never prints, and deep nesting exhausts the parser's stack."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken):
            raise YamlError(f"{name}: line {line}: YAML aliases (*) are not allowed", hint=_HINT)
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise YamlError(f"{name}: line {line}: nested too deeply", hint=_HINT)
