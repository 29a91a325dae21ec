"""Parting: no cluster on two sides, no row lost, every category its share, the same draw again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.checkup import examine
from core.doctor import Ask
from core.durable import digest
from core.errors import DataError
from core.parting import EVAL, TEST, TRAIN, Parting, allot, part
from tests.core.planted import Row, clean


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: str) -> list[Row]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


clusters = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from("abc"), st.integers(0, 2**64 - 1)), max_size=60
)
shares = st.sampled_from([(0.1, 0.0), (0.2, 0.2), (0.5, 0.3), (0.05, 0.1)])


@given(clusters, shares)
def test_whole_clusters_are_drawn_and_none_is_lost(
    drawn: list[tuple[int, str, int]], wanted: tuple[float, float]
) -> None:
    names = [name for name, _, _ in drawn]
    firsts = [names.index(name) for name in names]
    categories = [drawn[first][1] for first in firsts]
    lots = [lot for _, _, lot in drawn]
    sides = allot(firsts, lots, categories, wanted)
    assert len(sides) == len(drawn)
    assert set(sides) <= {TRAIN, EVAL, TEST}
    assert all(sides[first] == side for first, side in zip(firsts, sides, strict=True))
    for category, total in Counter(categories).items():
        held = [s for s, c in zip(sides, categories, strict=True) if c == category]
        assert held.count(EVAL) <= round(total * wanted[0])
        assert held.count(TEST) <= round(total * wanted[1])
    assert allot(firsts, lots, categories, wanted) == sides


def _family(rows: list[Row]) -> list[Row]:
    """Each row with a near-copy at the other end of the file."""
    return [*rows, *(row | {"prompt": row["prompt"].replace("What is", "What's")} for row in rows)]


def test_near_duplicates_stay_together_and_all_rows_are_kept(tmp_path: Path) -> None:
    rows = _family(clean(100))
    path = write(tmp_path / "x.jsonl", rows)
    made = part(path, shares=(0.2, 0.1))
    train, held, test = (read(one.path) for one in made.parts)
    assert sorted(map(str, [*train, *held, *test])) == sorted(map(str, rows))
    assert abs(len(held) - 40) <= 2
    assert abs(len(test) - 20) <= 2
    for one in made.parts[1:]:
        leaks = examine(Path(made.parts[0].path), Ask(heldout=Path(one.path))).facts.problems
        assert "leakage" not in {finding.code for finding in leaks}
    assert [one.digest for one in made.parts] == [digest(Path(one.path)) for one in made.parts]
    record = Parting.model_validate_json((tmp_path / "x.split.json").read_text(encoding="utf-8"))
    assert record == made
    assert made.source_digest == digest(path)


def test_the_draw_depends_on_seed_and_texts_alone(tmp_path: Path) -> None:
    rows = clean(100)
    for name, content in [("a", rows), ("b", rows[::-1]), ("c", rows)]:
        (tmp_path / name).mkdir()
        write(tmp_path / name / "x.jsonl", content)
    held = [
        {row["prompt"] for row in read(part(tmp_path / n / "x.jsonl", seed=seed).parts[1].path)}
        for n, seed in [("a", 1), ("b", 1), ("c", 2)]
    ]
    assert held[0] == held[1] != held[2]


def test_every_category_gets_its_share(tmp_path: Path) -> None:
    rows = [row | {"topic": "ab"[place % 5 == 0]} for place, row in enumerate(clean(200))]
    made = part(write(tmp_path / "x.jsonl", rows), category="topic")
    counts = Counter(row["topic"] for row in read(made.parts[1].path))
    assert counts == {"a": 16, "b": 4}


def test_rows_that_cannot_be_used_are_in_no_part(tmp_path: Path) -> None:
    rows = [*clean(20), {"prompt": "Why?", "answer": ""}]
    made = part(write(tmp_path / "x.jsonl", rows))
    assert (made.unusable, sum(one.rows for one in made.parts)) == (1, 20)


def test_refusals(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", clean(20))
    for wanted in [(0.0, 0.1), (0.9, 0.1), (1.5, 0.0), (0.1, -0.1), (float("nan"), 0.0)]:
        with pytest.raises(DataError, match="leave nothing"):
            part(path, shares=wanted)
    with pytest.raises(DataError, match="no row is left for eval"):
        part(path, shares=(0.001, 0.0))
    with pytest.raises(DataError, match="is not a folder"):
        part(path, tmp_path / "nowhere")
    part(path)
    with pytest.raises(DataError, match="exists already"):
        part(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "x.eval.jsonl", "x.jsonl", "x.split.json", "x.train.jsonl",
    ]  # fmt: skip
