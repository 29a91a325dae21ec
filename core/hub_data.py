"""Datasets from the Hub: which files are the rows that are asked for. No code of theirs runs.

The repository's own files come first, as they are whole and pinned to one commit: by the `configs`
of its README, or by their names. A repository without readable files is taken as the Hub converted
it to Parquet. Runs in the fetch process.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

from core.errors import HubError, YamlError
from core.hub_files import Say, Source, download, remote
from core.hub_spec import HubSpec
from core.hub_wire import DATASETS, NoSuchRevision, Wire
from core.reading import kind_of
from core.yamls import parse_yaml

RECORD = ".source.json"
"""Beside the rows, hidden so that it is not read as rows: id, commit, digests."""
CONVERTED, PARTIAL = "refs/convert/parquet", "partial-"
"""The Hub's own conversion, and how a split is called that it converted only in part."""
README_BYTES = 5_000_000
_KINDS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".arrow")
"""Kinds of files with rows, the best first."""
_BESIDE = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_SHARD = re.compile(r"(?:^|/)([\w.]+)-\d{5}-of-\d{5}[^/]*$")
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
MOST_PARTS, MOST_FOLDERS = 40, 3
"""Of a pattern: names in a row, and how many of them may stand for any number of folders."""
_HEADER = re.compile(rb"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.S)

Splits = dict[str, list[str]]
"""Files of every split."""


class _Configs(NamedTuple):
    """Configurations by name, and the one that is meant when none is named."""

    known: dict[str, Splits]
    usual: str = "default"


class _Repo(NamedTuple):
    """A listing of a repository at one commit."""

    commit: str
    entries: dict[str, Mapping[str, Any]]

    @property
    def rows(self) -> list[str]:
        """Files that hold rows, in the order of their names."""
        return sorted(name for name in self.entries if _holds_rows(name))


def _holds_rows(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.name not in _BESIDE and kind_of(Path(name)) in _KINDS


def get(spec: HubSpec, wire: Wire, say: Say) -> Path:
    """Download the files of one split, or go on where the last attempt stopped. Raises HubError."""
    final = spec.folder
    if final.is_dir():
        return final
    about = f"{DATASETS}{spec.repo}"
    repo = _list(wire, about, spec.revision or "main")
    splits = _choose_config(spec, _configs(repo, _readme(wire, about, repo)))
    if not splits:
        repo, splits = _converted(spec, wire, about, repo)
    names = _choose_split(spec, splits)
    files = [remote(name, repo.entries[name]) for name in names]
    if len({file.local for file in files}) < len(files):
        raise HubError(
            f"{spec.repo} has files whose names differ only by folders.",
            hint="Download them by hand, each to a name of its own.",
        )
    record = (RECORD, {"dataset": str(spec)})
    download(Source(wire, about, repo.commit), files, final, record, say)
    return final


def _list(wire: Wire, about: str, revision: str) -> _Repo:
    answer = wire.ask(f"/api/{about}/revision/{quote(revision, safe='')}", about, blobs="true")
    entries = {str(entry.get("rfilename")): entry for entry in answer.get("siblings") or ()}
    return _Repo(str(answer.get("sha", "")), entries)


def _readme(wire: Wire, about: str, repo: _Repo) -> Mapping[str, Any]:
    """What stands between the lines of three dashes at the top of a README."""
    if "README.md" not in repo.entries:
        return {}
    path = Source(wire, about, repo.commit).path("README.md")
    header = _HEADER.match(wire.read(path, about, README_BYTES))
    if header is None:
        return {}
    try:
        found = parse_yaml(header[1], "README.md")
    except YamlError as error:
        raise HubError(f"{about}: {error}", hint="Download its files by hand.") from error
    return found if isinstance(found, dict) else {}


def _configs(repo: _Repo, readme: Mapping[str, Any]) -> _Configs:
    """Splits of every configuration, by the README or by the names of the files."""
    listed = [entry for entry in readme.get("configs") or () if isinstance(entry, dict)]
    if not listed:
        return _Configs({"default": by_name(repo.rows)} if repo.rows else {}, "default")
    named = {str(entry.get("config_name", "default")): entry for entry in listed}
    marked = [name for name, entry in named.items() if entry.get("default") is True]
    known = {name: _listed(entry, repo.rows) for name, entry in named.items()}
    return _Configs(known, marked[0] if marked else "default")


def _listed(entry: Mapping[str, Any], names: Sequence[str]) -> Splits:
    """The files that a configuration of a README names."""
    folder, files = str(entry.get("data_dir") or "").strip("/"), entry.get("data_files")
    within = f"{folder}/" if folder else ""
    if files is None:
        return by_name([name for name in names if name.startswith(within)])
    parts = files if isinstance(files, list) else [files]
    found: Splits = {}
    for part in parts:
        split = str(part.get("split", "train")) if isinstance(part, dict) else "train"
        patterns = part.get("path") if isinstance(part, dict) else part
        wanted = [within + str(p) for p in (patterns if isinstance(patterns, list) else [patterns])]
        fitting = [name for name in names if any(matches(name, p) for p in wanted)]
        found.setdefault(split, []).extend(fitting)
    return {split: list(dict.fromkeys(chosen)) for split, chosen in found.items() if chosen}


def matches(name: str, pattern: str) -> bool:
    """Whether a file fits a pattern; `**` stands for any number of folders."""
    named = pattern.removeprefix("./").split("/")
    pairs = zip(["", *named], named, strict=False)
    parts = [part for before, part in pairs if not before == part == "**"]
    if len(parts) > MOST_PARTS or parts.count("**") > MOST_FOLDERS:
        return False  # made to take for ever
    return _fit(name.split("/"), parts)


def _fit(names: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not names
    first, rest = patterns[0], patterns[1:]
    if first == "**":
        return any(_fit(names[at:], rest or ["*"]) for at in range(len(names)))
    return bool(names) and fnmatch.fnmatchcase(names[0], first) and _fit(names[1:], rest)


def by_name(names: Iterable[str]) -> Splits:
    """Files of one kind, the best there is, by the split that their names tell."""
    listed = list(names)
    kinds = {kind_of(Path(name)) for name in listed}
    best = next((kind for kind in _KINDS if kind in kinds), "")
    found: Splits = {}
    for name in listed:
        if kind_of(Path(name)) == best:
            found.setdefault(split_of(name), []).append(name)
    return found


def split_of(name: str) -> str:
    """The split a file belongs to, by its name or else its folders."""
    if shard := _SHARD.search(name):
        return shard[1]
    for part in reversed(PurePosixPath(name).parts):
        words = re.split(r"[^a-z]+", part.lower())
        for split, known in _WORDS.items():
            if any(word in known for word in words):
                return split
    return "train"


def _converted(spec: HubSpec, wire: Wire, about: str, repo: _Repo) -> tuple[_Repo, Splits]:
    """The Hub's own conversion to Parquet: config/split/0000.parquet. Raises HubError."""
    try:
        made = _list(wire, about, CONVERTED)
    except NoSuchRevision as error:
        raise _refused(spec, repo) from error
    configs: dict[str, Splits] = {}
    for name in made.rows:
        config, split = [*name.split("/"), ""][:2]
        found = configs.setdefault(config, {})
        found.setdefault(split.removeprefix(PARTIAL), []).append(name)
    if not configs:
        raise _refused(spec, repo)
    splits = _choose_config(spec, _Configs(configs))
    if any(f"/{PARTIAL}" in name for names in splits.values() for name in names):
        raise HubError(
            f"The Hub converted only a part of {spec.repo}.",
            hint="Choose another dataset, or download its original files by hand.",
        )
    return made, splits


def _refused(spec: HubSpec, repo: _Repo) -> HubError:
    if any(name.endswith(".py") for name in repo.entries):
        return HubError(
            f"{spec.repo} is a program that makes a dataset, and no stranger's program is run.",
            hint="Choose a copy of it with Parquet, JSON or CSV files.",
        )
    return HubError(
        f"{spec.repo} holds no files with rows.",
        hint=f"Files that can be read end in {', '.join(_KINDS)}.",
    )


def _choose_config(spec: HubSpec, configs: _Configs) -> Splits:
    """The configuration asked for, else the usual one, else the only one."""
    known = configs.known
    if not known:
        return {}
    if spec.config and spec.config not in known:
        raise _unknown(spec.repo, "configuration", spec.config, known)
    name = spec.config or (next(iter(known)) if len(known) == 1 else configs.usual)
    if name not in known:
        raise HubError(
            f"{spec.repo} has several configurations.",
            hint=f"Name one, such as hub:{spec.repo}#{next(iter(known))}/train. "
            f"There is: {_some(known)}.",
        )
    return known[name]


def _choose_split(spec: HubSpec, splits: Splits) -> list[str]:
    """The split asked for, else train, else the only one."""
    if spec.split and spec.split not in splits:
        raise _unknown(spec.repo, "split", spec.split, splits)
    if not spec.split and "train" not in splits and len(splits) > 1:
        raise HubError(
            f"{spec.repo} has several splits and none is called train.",
            hint=f"Name one behind #. There is: {_some(splits)}.",
        )
    return splits[spec.split or ("train" if "train" in splits else next(iter(splits)))]


def _unknown(repo: str, what: str, name: str, known: Iterable[str]) -> HubError:
    return HubError(f"{repo} has no {what} {name!r}.", hint=f"There is: {_some(known)}.")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")
