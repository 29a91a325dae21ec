"""Names of datasets on the Hub, and where their rows lie once they are on this computer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from core.errors import DataError
from core.models import is_hub_id
from core.places import datasets_home, expand
from core.reading import KINDS, kind_of

HUB = "hub:"
_NAME = re.compile(
    r"hub:(?P<repo>[^@#]+)(?:@(?P<revision>\w[\w.-]*))?"
    r"(?:#(?:(?P<config>\w[\w.+-]*)/)?(?P<split>\w[\w.-]*))?"
)


class HubSpec(NamedTuple):
    """A dataset on the Hub: hub:owner/name@revision#config/split.

    Revision and split may be absent, and the configuration, which needs the split behind it.
    """

    repo: str
    revision: str = ""
    config: str = ""
    split: str = ""

    def __str__(self) -> str:
        part = f"{self.config}/" if self.config else ""
        at = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.repo}{at}" + (f"#{part}{self.split}" if self.split else "")

    @property
    def folder(self) -> Path:
        """Where its files lie; the Hub allows no `--` in names, so this is unambiguous."""
        named = self.repo.replace("/", "--")
        parts = [("@", self.revision), ("+", self.config), ("=", self.split)]
        return datasets_home() / (named + "".join(sign + text for sign, text in parts if text))


def read_spec(text: str) -> HubSpec | None:
    """What a path names on the Hub; None for a path on this computer. Raises DataError."""
    text = text.replace("\\", "/")
    if not text.startswith(HUB):
        return None
    found = _NAME.fullmatch(text)
    if found is None or not is_hub_id(found["repo"]):
        raise DataError(
            f"{text!r:.80} is not the name of a Hub dataset.",
            hint="It is written hub:owner/name, with @revision and #split or #config/split behind.",
        )
    return HubSpec(**{name: value or "" for name, value in found.groupdict().items()})


def as_spec(text: str, folder: Path) -> HubSpec | None:
    """What is meant by a path; owner/name is a Hub dataset when no such file is in the folder."""
    plain = is_hub_id(text) and kind_of(Path(text)) not in KINDS
    if plain and not (folder / text).exists():
        return HubSpec(text)
    return read_spec(text)


def located(path: Path | str) -> Path:
    """The file or folder that a path of a recipe means.

    Raises DataError when it is a dataset on the Hub that was not downloaded yet.
    """
    spec = read_spec(str(path))
    if spec is None:
        return expand(path).expanduser().absolute()
    if not spec.folder.is_dir():
        raise DataError(
            f"{spec} is not on this computer.",
            hint=f"Download it with `tunesmith fetch {spec}`.",
        )
    return spec.folder
