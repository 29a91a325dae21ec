"""Recipes, rows, event logs and manifests that nobody wrote: each is read or refused in words."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from core import recipe
from core.dataset import inspect_data
from core.durable import MANIFEST, read_manifest, verify
from core.errors import CoreError, DataError, RecipeError, RunError
from core.manifest import manifest_of
from core.origins import origin_of
from core.places import resources
from core.rundir import RunDir
from tests.core.containers import CONTAINERS

RECORDED = Path(__file__).parents[1] / "data" / "runs"
ODD = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"{", b"[" * 3000, b"\n", b"\r", b"9" * 5000, b"NaN",
    b"1e999", b"-1", b"null", b"\x1b[2J", "\u202e".encode(), b"*a", b"&a ", b"!!python/name:os ",
    b"<<: ", b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"PTR" * 400, b"true", b"{}", b"[]",
    b"\xef\xbb\xbf", b": " + b"[" * 3000,
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("flip", "cut", "put", "double", "end")),
        st.floats(0, 1),
        st.one_of(st.sampled_from(ODD), st.binary(min_size=1, max_size=6)),
    ),
    min_size=1,
    max_size=5,
)
Changes: TypeAlias = list[tuple[str, float, bytes]]


def spoiled(raw: bytes, changes: Changes) -> bytes:
    """A file after something has happened to it."""
    made = bytearray(raw)
    for kind, share, odd in changes:
        place = int(share * len(made))
        match kind:
            case "flip":
                made[place : place + len(odd)] = odd
            case "cut":
                del made[place : place + 10 * len(odd)]
            case "put":
                made[place:place] = odd
            case "double":
                made[place:place] = made[place : place + 40 * len(odd)]
            case _:
                del made[max(place, 1) :]
    return bytes(made)


@functools.cache
def recipes() -> list[bytes]:
    found = [path.read_bytes() for path in sorted((resources() / "recipes").glob("*.yaml"))]
    return [recipe.Recipe().to_yaml().encode(), *found]


ROWS = [{"prompt": f"What is {n}?", "answer": f"It is {n * n}."} for n in range(6)]


@functools.cache
def rows(name: str) -> bytes:
    return CONTAINERS[name](ROWS)


@functools.cache
def log() -> bytes:
    return (RECORDED / "failed" / "events.jsonl").read_bytes()[:12_000]


def refused(error: CoreError, path: Path) -> None:
    """A refusal says where, and what to do."""
    assert str(path.parent) in str(error)
    assert error.hint


def try_recipe(folder: Path, which: int, changes: Changes) -> None:
    path = folder / "recipe.yaml"
    path.write_bytes(spoiled(recipes()[which % len(recipes())], changes))
    try:
        assert recipe.parse(recipe.load(path).model_dump(mode="json"))
        event("read")
    except RecipeError as error:
        refused(error, path)


def try_rows(folder: Path, which: int, changes: Changes) -> None:
    name = sorted(CONTAINERS)[which % len(CONTAINERS)]
    path = folder / name
    path.write_bytes(spoiled(rows(name), changes))
    try:
        assert inspect_data(path).rows > 0
        event("read")
    except DataError as error:
        assert str(path.parent) in str(error) or error.problems  # noqa: PT017 - both are right


def try_log(folder: Path, which: int, changes: Changes) -> None:
    (folder / "recipe.yaml").write_bytes(recipes()[0])
    path = folder / "events.jsonl"
    path.write_bytes(spoiled(log()[which % 7 * 100 :], changes))
    try:
        story = RunDir.open(folder).history()
        assert str(story.outcome())
        event("read")
    except RunError as error:
        refused(error, path)


def try_manifest(folder: Path, which: int, changes: Changes) -> None:
    (folder / "a").write_bytes(b"x")
    sums = {"a": (1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")}
    facts: dict[str, Any] = {"step": which, "origin": {"data": {"path": "x"}}}
    (folder / MANIFEST).write_bytes(spoiled(manifest_of(sums, facts).encode(), changes))
    fault = verify(folder, alone=True)
    assert fault is None or folder.name in fault
    try:
        read_manifest(folder)
        event("read")
    except ValueError as error:
        assert folder.name in str(error)  # noqa: PT017 - reading it is as right


def try_note(folder: Path, which: int, changes: Changes) -> None:
    """The record beside a mended copy."""
    path = folder / "rows.fixed.jsonl"
    note = {"path": "rows.jsonl", "copy_path": str(path), "rows_before": which, "changes": []}
    for name in ("rows.fixed.json", "rows.fixed.changes.json", "rows.fixed.parts.json"):
        (folder / name).write_bytes(spoiled(json.dumps(note).encode(), changes))
    origin_of(path)


Try: TypeAlias = Callable[[Path, int, Changes], None]
TRIES: tuple[Try, ...] = (try_recipe, try_rows, try_log, try_manifest, try_note)
INVENTED = given(which=st.integers(0, 1_000), changes=CHANGES)
FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("attempt", TRIES)
@settings(max_examples=500, deadline=None, suppress_health_check=FIXTURE)
@INVENTED
def test_what_nobody_wrote_is_read_or_refused(
    attempt: Try, which: int, changes: Changes, tmp_path: Path
) -> None:
    attempt(tmp_path, which, changes)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", TRIES)
@settings(max_examples=10_000, deadline=None, suppress_health_check=FIXTURE)
@INVENTED
def test_ten_thousand_of_each(attempt: Try, which: int, changes: Changes, tmp_path: Path) -> None:
    attempt(tmp_path, which, changes)
