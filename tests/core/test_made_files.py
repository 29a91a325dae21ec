"""Files made from a dataset: where they go, what they remember, and that failures leave nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.checkup import BROKEN, examine
from core.doctor import Ask
from core.durable import digest
from core.errors import DataError
from core.excerpts import excerpts
from core.mending import Record, mend, record_of, withdraw
from core.origins import origin_of
from core.parting import Parting, free_name, part
from tests.core.planted import Row, clean


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    monkeypatch.setenv("TUNESMITH_HOME", str(place))
    return place


@pytest.fixture
def rows() -> list[Row]:
    """Two copies and one mail address."""
    rows = clean(60)
    rows[30] = dict(rows[3])
    rows[9]["answer"] += " Write to anna.lang@firma.de"
    return rows


@pytest.fixture
def file(tmp_path: Path, rows: list[Row]) -> Path:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_finding_knows_the_row_it_belongs_to(file: Path) -> None:
    found = {finding.code: finding for finding in examine(file).findings}
    copies = found["duplicates"]
    assert (copies.title, copies.rows, copies.partners) == ("Exact copies", (31,), (4,))
    assert found["personal_data"].partners == ()


def test_broken_lines_are_a_finding_when_they_are_passed_over(file: Path) -> None:
    with file.open("a", encoding="utf-8") as appended:
        appended.write('{"prompt": \n')
    first = examine(file, pass_over=True).findings[0]
    assert (first.code, first.severity, first.rows, first.mendable) == (
        BROKEN, "error", (61,), True,
    )  # fmt: skip


def test_who_waits_can_end_the_examination(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in clean(600)), encoding="utf-8")
    told: list[int] = []

    def stop(rows: int) -> None:
        told.append(rows)
        if len(told) == 2:
            raise DataError("Stopped.")

    with pytest.raises(DataError, match="Stopped"):
        examine(path, heed=stop)
    assert told == [256, 512]
    told.clear()
    with pytest.raises(DataError, match="Stopped"):
        part(path, heed=stop)
    assert [p.name for p in tmp_path.glob("*.*")] == ["many.jsonl"]


def test_a_shipped_dataset_is_mended_in_the_users_folder(home: Path) -> None:
    record = mend(Path("sample:prompts.jsonl"))
    assert Path(record.copy_path) == home / "copies" / "prompts.fixed-1.jsonl"
    assert origin_of(Path(record.copy_path)) == record
    withdraw(record)
    assert list((home / "copies").iterdir()) == []


def test_a_copy_changed_by_hand_is_never_deleted(file: Path) -> None:
    record = mend(file)
    copy = Path(record.copy_path)
    copy.write_text(copy.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    withdraw(record)
    assert copy.exists()


def test_a_file_changed_meanwhile_is_not_mended(file: Path) -> None:
    before = digest(file)
    file.write_text(file.read_text(encoding="utf-8").replace("tailor", "hatter"), encoding="utf-8")
    with pytest.raises(DataError, match="changed by another program"):
        mend(file, unchanged=before)
    assert [p.name for p in file.parent.glob("*.*")] == ["x.jsonl"]


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_nothing_behind(file: Path) -> None:
    import resource

    before = digest(file)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(DataError, match="Cannot write") as mending:
            mend(file)
        with pytest.raises(DataError, match="Cannot write"):
            part(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert "Make room" in mending.value.hint
    assert [p.name for p in file.parent.glob("*.*")] == ["x.jsonl"]
    assert digest(file) == before


def test_a_home_that_cannot_be_made_is_said(home: Path) -> None:
    home.write_text("in the way", encoding="utf-8")
    with pytest.raises(DataError, match="Cannot write"):
        mend(Path("sample:prompts.jsonl"))


def test_beside_a_read_only_folder_the_users_own_is_taken(file: Path, home: Path) -> None:
    locked = file.parent / "locked"
    locked.mkdir()
    path = file.rename(locked / file.name)
    locked.chmod(0o500)
    try:
        if os.access(locked, os.W_OK):
            pytest.skip("permissions do not bind this user")
        record = mend(path)
    finally:
        locked.chmod(0o700)
    assert Path(record.copy_path) == home / "datasets" / "x.fixed-1.jsonl"


def test_what_is_leaked_can_be_left_out(file: Path, rows: list[Row]) -> None:
    held = file.with_name("held.jsonl")
    held.write_text(json.dumps({"frage": rows[5]["prompt"], "antwort": "x"}), encoding="utf-8")
    ask = Ask(
        heldout=held,
        heldout_format="prompts",
        heldout_columns={"prompt": "frage", "answer": "antwort"},
    )
    record = mend(file, codes=["leakage"], ask=ask)
    assert [(c.code, c.count) for c in record.changes] == [("leakage", 1)]
    assert record.changes[0].examples[0].line == 6


def test_parts_know_where_they_come_from_and_never_overwrite(file: Path) -> None:
    assert free_name(file, file.parent) == "x"
    first = part(file)
    assert free_name(file, file.parent) == "x-2"
    second = part(file, name="x-2")
    assert origin_of(Path(first.parts[0].path)) == first
    made = origin_of(Path(second.parts[1].path))
    assert isinstance(made, Parting)
    assert made.source == str(file)
    with pytest.raises(DataError, match="exists already"):
        part(file)


def test_foreign_notes_are_no_origin(file: Path) -> None:
    assert origin_of(file) is None
    record_of(file).write_text('{"source": 7}', encoding="utf-8")
    assert origin_of(file) is None
    record = mend(file)
    assert isinstance(origin_of(Path(record.copy_path)), Record)
    record_of(file).write_bytes(record_of(Path(record.copy_path)).read_bytes())
    assert origin_of(file) is None, "the note speaks of another file"


def test_excerpts_show_the_place_that_matters(file: Path, rows: list[Row]) -> None:
    rows[9]["answer"] = "word " * 400 + "anna.lang@firma.de" + " word" * 400
    rows[10] = {"prompt": "Why?", "answer": ""}
    text = "".join(json.dumps(row) + "\n" for row in rows) + "{oops\n"
    file.write_text(text, encoding="utf-8")
    shown = excerpts(file, (10, 11, 61, 999), "personal_data")
    assert list(shown) == [10, 11, 61]
    assert "…" in shown[10].text
    assert "anna.lang@firma.de" in shown[10].text
    assert "4,018 characters in all" in shown[10].text
    assert len(shown[10].text) < 500
    assert '"answer": ""' in shown[11].text
    assert "line 61" in shown[61].text


def test_both_answers_of_a_pair_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}
    path.write_text(json.dumps(row), encoding="utf-8")
    assert excerpts(path, [1])[1].text == "user: 2 + 2?\nchosen answer: 4\nrejected answer: 5"


def test_a_long_conversation_is_shown_from_its_end(tmp_path: Path) -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(20)]
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": turns}), encoding="utf-8")
    text = excerpts(path, [1])[1].text
    assert text.startswith("before: 14 more messages\nuser: turn 14")
    assert text.endswith("assistant: turn 19")
