"""Disks that fail or lose power under the real code: what a test puts in place of the real one."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from core.disk import Disk

CALLS = ("create", "reopen", "write", "truncate", "sync", "rename", "unlink", "mkdir", "rmdir")


class FailAt(Disk):
    """Fails at its n-th call, and at all later ones if it is `broken`; a write that fails is half.

    Neither waiting nor syncing takes time.
    """

    def __init__(self, number: int, code: int, *, broken: bool = False) -> None:
        self.number, self.code, self.broken = number, code, broken
        self.calls = 0
        self.waited = 0.0

    def wait(self, seconds: float) -> None:
        self.waited += seconds

    def sync(self, path: Path) -> None:
        if self.fails():
            raise self.error(path)

    @property
    def failed(self) -> bool:
        """Whether a call has failed already."""
        return self.calls >= self.number

    def fails(self) -> bool:
        self.calls += 1
        return self.calls == self.number or (self.broken and self.calls > self.number)

    def error(self, path: Path) -> OSError:
        return OSError(self.code, os.strerror(self.code), str(path))

    def write(self, file: FileIO, data: bytes) -> None:
        if self.fails():
            super().write(file, data[: len(data) // 2])
            raise self.error(Path(str(file.name)))
        super().write(file, data)


def _failing(name: str) -> Any:
    real = getattr(Disk, name)

    def call(self: FailAt, first: Any, *rest: Any) -> Any:
        if self.fails():
            raise self.error(Path(str(getattr(first, "name", first))))
        return real(self, first, *rest)

    return call


for _name in CALLS:
    if _name not in ("write", "sync"):
        setattr(FailAt, _name, _failing(_name))


@dataclass
class Link:
    """A name in a folder: made, moved from another, or taken away."""

    parents: tuple[int, ...]
    gone: tuple[int, str] | None = None
    made: tuple[int, str, int] | None = None


@dataclass
class Bytes:
    """The whole contents of a file from now on."""

    node: int
    data: bytes


@dataclass
class Sync:
    """A file's bytes, or a folder's names, are safe from here."""

    node: int


@dataclass
class Ack:
    """Somebody was told that this is safe."""

    what: Any


Tree = dict[str, bytes | None]
"""Contents by path; None for a folder."""


class CrashDisk(Disk):
    """Records what happens below a folder, by whomever, and tells what a power cut would leave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: list[Link | Bytes | Sync | Ack] = []
        self._nodes: dict[Path, int] = {root: 0}
        self._held: dict[int, bytes] = {}
        self._made = 0
        self._notice()
        self.log += [Sync(node) for node in self._nodes.values()]

    def ack(self, what: Any) -> None:
        """Note a promise."""
        self._notice()
        self.log.append(Ack(what))

    def _notice(self) -> None:
        """What libraries and tests did on their own since the last look."""
        seen = set()
        for path in sorted(self.root.rglob("*")):
            seen.add(path)
            if path not in self._nodes:
                self._link(path)
            if path.is_file():
                self._look(path)
        for path in [p for p in self._nodes if p != self.root and p not in seen]:
            self._unlink(path)

    def _look(self, path: Path) -> None:
        node, data = self._nodes[path], path.read_bytes()
        if self._held.get(node) != data:
            self._held[node] = data
            self.log.append(Bytes(node, data))

    def _link(self, path: Path) -> None:
        self._made += 1
        self._nodes[path] = self._made
        if path.is_file():
            self._look(path)
        parent = self._nodes[path.parent]
        self.log.append(Link((parent,), made=(parent, path.name, self._made)))

    def _unlink(self, path: Path) -> None:
        del self._nodes[path]
        parent = self._nodes.get(path.parent)
        if parent is not None:
            self.log.append(Link((parent,), gone=(parent, path.name)))

    def rename(self, old: Path, new: Path) -> None:
        self._notice()
        super().rename(old, new)
        first, second = self._nodes[old.parent], self._nodes[new.parent]
        moved = self._nodes[old]
        for path in [p for p in self._nodes if p == old or old in p.parents]:
            self._nodes[new / path.relative_to(old)] = self._nodes.pop(path)
        self.log.append(
            Link((first, second), gone=(first, old.name), made=(second, new.name, moved))
        )

    def sync(self, path: Path) -> None:
        self._notice()
        super().sync(path)
        if path in self._nodes:
            self.log.append(Sync(self._nodes[path]))

    def wait(self, seconds: float) -> None:
        """No time passes."""


def _noticing(name: str) -> Any:
    real = getattr(Disk, name)

    def call(self: CrashDisk, *given: Any) -> Any:
        self._notice()
        result = real(self, *given)
        self._notice()
        return result

    return call


for _name in CALLS:
    if _name not in ("rename", "sync"):
        setattr(CrashDisk, _name, _noticing(_name))


@dataclass
class PowerCut:
    """One state that a power cut may leave, and what had been promised by then."""

    tree: Tree
    promised: list[Any] = field(default_factory=list)

    def make(self, root: Path) -> None:
        """Write it down as real files."""
        for name, data in sorted(self.tree.items()):
            if data is None:
                (root / name).mkdir(parents=True, exist_ok=True)
            else:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(data)


def power_cuts(
    disk: CrashDisk, seed: int = 0, chances: int = 4, every: int = 1
) -> Iterator[PowerCut]:
    """Distinct states at every n-th instant, on disks that keep the order of names or do not.

    Bytes not synced are there, as they were before, cut in half, zero, or zero for their first
    half; names not synced are there up to some point, or any of them.
    """
    random_ = random.Random(seed)
    known: set[int] = set()
    for instant in range(0, len(disk.log) + 1, every):
        past = disk.log[:instant]
        promised = [entry.what for entry in past if isinstance(entry, Ack)]
        contents = list(_contents(past, random_, chances))
        for names in _names(past, random_, chances):
            for data in contents:
                tree = _tree(names, data)
                key = hash((len(promised), tuple(sorted((k, v or b"") for k, v in tree.items()))))
                if key not in known:
                    known.add(key)
                    yield PowerCut(tree, promised)


def _contents(past: list[Any], random_: random.Random, chances: int) -> Iterator[dict[int, bytes]]:
    """Bytes of every file, in the ways that those not synced may have come out."""
    safe: dict[int, bytes] = {}
    now: dict[int, bytes] = {}
    for entry in past:
        if isinstance(entry, Bytes):
            now[entry.node] = entry.data
        elif isinstance(entry, Sync) and entry.node in now:
            safe[entry.node] = now[entry.node]
    ways = {node: _ways(safe.get(node, b""), data) for node, data in now.items()}
    open_ = [node for node, found in ways.items() if len(found) > 1]
    for number in range(7 if open_ else 1):
        yield {node: found[number % len(found)] for node, found in ways.items()}
    for _ in range(chances if len(open_) > 1 else 0):
        yield {node: random_.choice(found) for node, found in ways.items()}


def _ways(safe: bytes, now: bytes) -> list[bytes]:
    if safe == now:
        return [now]
    same = next((at for at, (a, b) in enumerate(zip(safe, now, strict=False)) if a != b), len(safe))
    rest = now[same:]
    half = len(rest) // 2
    blank, kept = bytes(len(rest)), now[:same]
    cut = [kept + rest[: len(rest) * part // 4] for part in (1, 2, 3)]
    return [now, safe, *cut, kept + blank, kept + blank[:half] + rest[half:]]


def _names(past: list[Any], random_: random.Random, chances: int) -> Iterator[list[Link]]:
    """Which changes of names the disk has kept."""
    links = [(at, entry) for at, entry in enumerate(past) if isinstance(entry, Link)]
    folders = {parent for _, link in links for parent in link.parents}
    synced = dict.fromkeys(folders, -1)
    for at, entry in enumerate(past):
        if isinstance(entry, Sync) and entry.node in synced:
            synced[entry.node] = at
    last = max(synced.values(), default=-1)
    sure = [link for at, link in links if at < last]
    later = [link for at, link in links if at >= last]
    for count in range(len(later) + 1):  # one journal for all names
        yield sure + later[:count]
    loose = [link for at, link in links if any(synced[one] < at for one in link.parents)]
    every = [link for _, link in links]
    yield from (_without(every, dropped) for dropped in _subsets(loose, random_, chances))


def _subsets(loose: list[Link], random_: random.Random, chances: int) -> Iterable[list[Link]]:
    yield loose
    if len(loose) > 1:
        yield from ([one] for one in loose)
        for _ in range(chances):
            yield [one for one in loose if random_.random() < 0.5]


def _without(links: list[Link], dropped: list[Link]) -> list[Link]:
    gone = {id(link) for link in dropped}
    return [link for link in links if id(link) not in gone]


def _tree(links: list[Link], data: dict[int, bytes]) -> Tree:
    entries: dict[int, dict[str, int]] = {}
    for link in links:
        if link.gone:
            entries.get(link.gone[0], {}).pop(link.gone[1], None)
        if link.made:
            parent, name, node = link.made
            entries.setdefault(parent, {})[name] = node
    found: Tree = {}
    _walk(0, "", entries, data, found)
    return found


def _walk(
    node: int, prefix: str, entries: dict[int, dict[str, int]], data: dict[int, bytes], found: Tree
) -> None:
    for name, child in entries.get(node, {}).items():
        if child in data:
            found[prefix + name] = data[child]
        else:
            found[prefix + name] = None
            _walk(child, f"{prefix}{name}/", entries, data, found)
