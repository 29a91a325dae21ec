"""Whatever a server does, a download ends whole or in words, and what was there is gone on with."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core import hub, hub_files, hub_wire
from core.errors import HubError
from core.fetch import get
from core.hub_files import KEPT_FOR, sweep
from core.hub_wire import Wire
from core.models import hub_folder
from tests.core.hub_server import Hub, Repo, serve

ID, WEIGHTS = "maker/tiny", "model.safetensors"
MEGABYTE = 1 << 20
FILES = {"config.json": b"{}", WEIGHTS: random.Random(1).randbytes(300_000)}


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """And short of patience: what takes a minute in life takes no time here."""
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub_wire, "TIMEOUT", 0.5)
    monkeypatch.setattr(hub_files, "PAUSES", (0.0, 0.0))


@contextmanager
def _hub(monkeypatch: pytest.MonkeyPatch, repo: Repo) -> Iterator[Hub]:
    with serve({ID: repo}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def _get(said: list[dict[str, Any]] | None = None) -> Path:
    return get(ID, Wire(), (said if said is not None else []).append)


def _whole(folder: Path, files: dict[str, bytes] = FILES) -> bool:
    return all((folder / name).read_bytes() == content for name, content in files.items())


def _part() -> Path:
    final = hub_folder(ID)
    aside = final.parent / f".fetching-{final.name}"
    aside.mkdir(parents=True)
    (aside / ".commit").write_text("a" * 40)
    return aside / f"{WEIGHTS}.part"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ({"page": WEIGHTS}, "a web page was sent"),
        ({"unequal": 1000}, "a file of 301.0 kB was sent"),
        ({"unequal": -1000}, "a file of 299.0 kB was sent"),
        ({"stall_after": -1}, "did not answer within"),
        ({"limited": ["3600"]}, "too many requests"),
        ({"limited": ["soon"]}, "too many requests"),
        ({"status": 503}, "error 503"),
        ({"corrupt": WEIGHTS}, "arrived damaged twice"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_server_that_misbehaves_is_told_of(
    trouble: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(FILES, **trouble)), pytest.raises(HubError) as caught:
        _get()
    assert words in str(caught.value)
    assert caught.value.hint
    assert not hub_folder(ID).exists()


@pytest.mark.parametrize(
    "trouble",
    [{"cut_after": 1000}, {"stall_after": 200_000}, {"limited": ["0", "0"]}, {"endless": WEIGHTS}],
)
def test_a_server_with_a_bad_moment_is_borne(
    trouble: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(FILES, **trouble)):
        assert _whole(_get())


@pytest.mark.parametrize("trouble", [{"lost_range": True}, {"corrupt": ""}])
def test_a_part_that_does_not_belong_is_thrown_away(
    trouble: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _part().write_bytes(b"of another file")
    with _hub(monkeypatch, Repo(FILES, **trouble)) as running:
        assert _whole(_get())
    assert running.asked(WEIGHTS) == ["bytes=15-", ""]


def test_bytes_from_elsewhere_are_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    part = _part()
    part.write_bytes(FILES[WEIGHTS][:1000])
    with _hub(monkeypatch, Repo(FILES, shifted=10)), pytest.raises(HubError) as caught:
        _get()
    assert "cannot be reached" in str(caught.value)
    assert part.read_bytes() == FILES[WEIGHTS][:1000]


def test_orphans_are_swept_and_what_is_fresh_or_at_work_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, fresh, locked = (tmp_path / f".fetching-{name}" for name in ("old", "fresh", "locked"))
    long_ago = time.time() - KEPT_FOR - 60
    for folder in (old, fresh, locked):
        folder.mkdir()
        (folder / "x.part").write_bytes(b"x")
        for path in (folder / "x.part", folder):
            os.utime(path, None if folder is fresh else (long_ago, long_ago))
    with hub_files.FileLock(tmp_path / f"{locked.name}.lock"):
        sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.glob(".fetching-*/")) == [fresh.name, locked.name]


def _kill_at(target: int) -> int:
    """Start the real fetch process and kill it once so many bytes are there; returns how many."""
    with subprocess.Popen(
        hub.fetch_command("get", ID), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            assert "error" not in told, told
            if told.get("file") == WEIGHTS and told["done"] >= target:
                process.kill()
                process.wait()
                return int(told["done"])
    raise AssertionError("it ended before it was killed")


def _bytes(lot: random.Random, size: int) -> bytes:
    """By chance, megabyte after megabyte: more at once overflows."""
    return b"".join(lot.randbytes(min(MEGABYTE, size - at)) for at in range(0, size, MEGABYTE))


def _kills(count: int, size: int, pace: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that each of so many kills at random instants made to be fetched again."""
    lot = random.Random(count)
    files = {"config.json": b"{}", WEIGHTS: _bytes(lot, size)}
    with _hub(monkeypatch, Repo(files, pace=pace)) as running:
        for target in sorted(lot.randrange(size * 9 // 10) for _ in range(count)):
            _kill_at(target)
        with hub.fetch(ID) as last:
            list(last.progress())
        while len(running.sent) < running.begun:  # the answers' threads end a moment later
            time.sleep(0.01)
        sent = sorted(
            (start, start + many) for file, start, many in running.sent if file == WEIGHTS
        )
    assert last.folder is not None
    assert hashlib.sha256((last.folder / WEIGHTS).read_bytes()).digest() == (
        hashlib.sha256(files[WEIGHTS]).digest()
    )
    assert not list(last.folder.parent.glob(".fetching-*/"))
    return [end - start for (_, end), (start, _) in itertools.pairwise(sent)]


def test_a_killed_download_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    again = _kills(2, 6 * MEGABYTE, 0.05, monkeypatch)
    assert 0 < len(again) <= 2
    assert max(again) <= 8 * MEGABYTE


@pytest.mark.slow
def test_twenty_kills_cost_little(monkeypatch: pytest.MonkeyPatch, record_property: Any) -> None:
    """The Hub's own client began anew each time; TUNESMITH_KILL_BYTES tries another size."""
    size = int(os.environ.get("TUNESMITH_KILL_BYTES", 256_000_000))
    again = _kills(20, size, 0.005, monkeypatch)
    record_property("fetched_again", again)
    print(f"fetched again: most {max(again):,}, all {sum(again):,} of {size:,} bytes")
    assert 10 < len(again) <= 20, "who is killed before it asks fetches nothing again"
    assert max(again) <= 8 * MEGABYTE
