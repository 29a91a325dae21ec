"""The doctor: a clean set is left alone, every planted defect is found where it was planted."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.checkup import examine
from core.dataset import DataFacts, inspect_data
from core.doctor import CHECKS, Ask, verdict
from core.doctor.languages import language_of
from core.doctor.personal import mask
from core.doctor.sketches import Sketches
from core.errors import DataError
from core.mending import Record, mend, record_of
from core.reading import Line, read_rows
from tests.core.containers import as_parquet, delimited
from tests.core.planted import DEFECTS, PERSONAL, Defect, Row, clean

defects = pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.code)


def write(path: Path, rows: list[Row]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def planted(defect: Defect, folder: Path) -> tuple[Path, list[int]]:
    rows = clean()
    lines = defect.plant(rows)
    return write(folder / "x.jsonl", rows), lines


def codes(facts: DataFacts) -> dict[str, tuple[int, ...]]:
    return {finding.code: finding.rows for finding in facts.problems}


def test_a_clean_set_is_not_flagged(tmp_path: Path) -> None:
    assert examine(write(tmp_path / "x.jsonl", clean(500))).facts.problems == ()


@defects
def test_a_planted_defect_is_found_where_it_is(defect: Defect, tmp_path: Path) -> None:
    path, lines = planted(defect, tmp_path)
    found = {finding.code: finding for finding in examine(path).facts.problems}
    assert found[defect.code].rows == tuple(lines)
    assert found[defect.code].count == len(lines)
    assert found[defect.code].mendable is defect.mendable
    assert set(found) - {defect.code} <= {"contradictions", "unused_columns"}


@defects
def test_what_can_be_mended_is_mended_in_a_copy(defect: Defect, tmp_path: Path) -> None:
    path, lines = planted(defect, tmp_path)
    before = path.read_bytes()
    if not defect.mendable:
        with pytest.raises(DataError, match=r"cannot be mended|nothing to mend"):
            mend(path, codes=[defect.code])
        assert list(tmp_path.glob("*.jsonl")) == [path]
        return
    record = mend(path, codes=[defect.code])
    assert path.read_bytes() == before, "the original was touched"
    assert Path(record.copy_path) == tmp_path / "x.fixed-1.jsonl"
    [change] = record.changes
    assert (change.code, change.count) == (defect.code, len(lines))
    assert [example.line for example in change.examples] == lines[:5]
    left_out = change.action == "left out"
    assert record.rows_before - record.rows_after == (len(lines) if left_out else 0)
    for example in change.examples:
        assert (example.after is None) == left_out
        assert example.before != example.after
    assert defect.code not in codes(examine(Path(record.copy_path)).facts)


def test_every_check_was_tried_on_a_planted_defect() -> None:
    elsewhere = {"leakage", "contamination"}
    assert {check.code for check in CHECKS} <= {defect.code for defect in DEFECTS} | elsewhere


def test_all_at_once_and_the_record(tmp_path: Path) -> None:
    rows = clean()
    rows[4]["answer"], rows[5]["answer"], rows[6]["answer"] = "", "TODO", rows[6]["answer"] + " "
    rows[7]["prompt"] += " Mail me: anna.lang@firma.de"
    path = write(tmp_path / "x.jsonl", rows)
    path.write_text(path.read_text(encoding="utf-8") + "{broken\n", encoding="utf-8")
    target = tmp_path / "good.jsonl"
    record = mend(path, target)
    assert Record.model_validate_json(record_of(target).read_text(encoding="utf-8")) == record
    assert record.source_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.copy_digest == hashlib.sha256(target.read_bytes()).hexdigest()
    assert {(c.code, c.action, c.count) for c in record.changes} == {
        ("empty_answer", "left out", 1),
        ("hollow_answers", "left out", 1),
        ("spaces", "changed", 1),
        ("personal_data", "changed", 1),
        ("broken_lines", "left out", 1),
    }
    copied = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert copied[5]["prompt"].endswith("Mail me: [EMAIL]")
    rows[6]["answer"] = rows[6]["answer"].strip()
    assert [r for n, r in enumerate(copied) if n != 5] == [
        r for n, r in enumerate(rows) if n not in (4, 5, 7)
    ]
    assert examine(target).facts.problems == ()
    with pytest.raises(DataError, match="nothing to mend"):
        mend(target)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path, _ = planted(DEFECTS[0], tmp_path)
    assert mend(path).copy_path.endswith("x.fixed-1.jsonl")
    assert mend(path).copy_path.endswith("x.fixed-2.jsonl")
    for target, words in [(path, "exists already"), (tmp_path / "x.csv", "does not end in .jsonl"),
                          (tmp_path / "no" / "x.jsonl", "Cannot write")]:  # fmt: skip
        with pytest.raises(DataError, match=words):
            mend(path, target)
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_roles_and_other_columns_are_left_alone(tmp_path: Path) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": row["prompt"] + " "},
                {"role": "assistant", "content": row["answer"] + " "},
            ],
            "note": "kept ",
        }
        for row in clean(20)
    ]
    record = mend(write(tmp_path / "x.jsonl", rows), codes=["spaces"])
    first = json.loads(Path(record.copy_path).read_text(encoding="utf-8").splitlines()[0])
    assert first["note"] == "kept "
    assert first["messages"][0] == rows[0]["messages"][0], "a question keeps its blanks"
    assert first["messages"][1]["content"] == rows[0]["messages"][1]["content"].strip()


_TURN = {"role": "user", "content": "Who?"}
_REPLY = {"role": "assistant", "content": "I."}


@pytest.mark.parametrize(
    ("code", "messages"),
    [
        ("role_order", [_REPLY, _TURN, _REPLY]),
        ("role_order", [_TURN, _TURN, _REPLY]),
        ("no_answer", [_TURN, _REPLY, _TURN]),
        ("bad_role", [_TURN, {"role": "assitant", "content": "I."}]),
        ("bad_tool_call", [_TURN, _REPLY | {"tool_calls": "f()"}]),
    ],
)
def test_conversations_out_of_order_are_left_out(
    code: str, messages: list[Row], tmp_path: Path
) -> None:
    rows = [
        {"messages": [_TURN | {"content": row["prompt"]}, _REPLY | {"content": row["answer"]}]}
        for row in clean(20)
    ]
    path = write(tmp_path / "x.jsonl", [*rows[:9], {"messages": messages}, *rows[9:]])
    assert codes(examine(path).facts) == {code: (10,)}
    record = mend(path)
    assert [(c.code, c.examples[0].line) for c in record.changes] == [(code, 10)]
    copied = Path(record.copy_path).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in copied] == rows


def test_copies_hold_what_no_file_should(tmp_path: Path) -> None:
    rows = [*clean(20), {"prompt": "Who?", "answer": "I. ", "no\ud800te": "x\udfff"}]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    copied = list(read_rows(Path(mend(path).copy_path)))
    assert [line.row for line in copied if isinstance(line, Line)] == [
        *clean(20), rows[-1] | {"answer": "I."},
    ]  # fmt: skip


def test_numbers_that_are_none_and_dates_survive_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    day = datetime.date(2024, 5, 1)
    rows = [row | {"score": float("nan"), "day": day} for row in clean(20)]
    rows[4]["answer"] += " "
    path.write_bytes(as_parquet(rows))
    copied = [line.row for line in read_rows(Path(mend(path).copy_path)) if isinstance(line, Line)]
    assert copied == [row | {"score": None, "day": "2024-05-01"} for row in clean(20)]


def test_conversations_in_cells_of_a_table_are_mended(tmp_path: Path) -> None:
    talks = [[_TURN | {"content": row["prompt"]}, _REPLY | {"content": row["answer"] + " "}]
             for row in clean(5)]  # fmt: skip
    path = tmp_path / "x.csv"
    path.write_bytes(delimited([{"messages": json.dumps(talk)} for talk in talks], ","))
    record = mend(path, codes=["spaces"])
    assert [(change.code, change.count) for change in record.changes] == [("spaces", 5)]
    assert examine(Path(record.copy_path)).facts.problems == ()


# ---- two files -----------------------------------------------------------------------------------


def test_questions_that_will_be_measured_are_found(tmp_path: Path) -> None:
    rows = clean(40)
    held = [rows[4], rows[9] | {"prompt": rows[9]["prompt"].replace("What is it", "What's it")},
            *clean(20, seed=99)]  # fmt: skip
    ask = Ask(heldout=write(tmp_path / "held.jsonl", held))
    found = examine(write(tmp_path / "x.jsonl", rows), ask).facts
    assert codes(found) == {"leakage": (5, 10)}


_PASSAGE = (
    "In the year of the great flood the keeper of the lighthouse counted eleven ships that never "
    "came home, and he wrote their names on the wall."
)


def test_a_passage_of_a_benchmark_is_found(tmp_path: Path) -> None:
    question = "How many ships did the keeper count last year?"
    held = [{"passage": {"text": _PASSAGE}, "choices": ["A", "B"]}, {"q": question}]
    bench = write(tmp_path / "b.jsonl", held)
    rows = clean(40)
    words = _PASSAGE.upper().split()
    rows[4]["answer"] = "It is said: " + "; ".join(words[3:16])
    rows[5]["answer"] = "It is said: " + " ".join(words[3:15]) + " sailed away."
    rows[6]["prompt"] = "how many ships did the KEEPER count, last year"
    path = write(tmp_path / "x.jsonl", rows)
    assert codes(examine(path, Ask(benchmarks=(bench,))).facts) == {"contamination": (5, 7)}
    assert codes(examine(path, Ask(benchmarks=(bench,), ngram=12)).facts) == {
        "contamination": (5, 6, 7)
    }


def test_a_category_can_be_asked_for(tmp_path: Path) -> None:
    rows = [row | {"team": str(place % 4)} for place, row in enumerate(clean(40))]
    path = write(tmp_path / "x.jsonl", rows)
    found = {f.code: f for f in examine(path, Ask(category="team")).facts.problems}
    assert "4 categories, entropy 1.00 of 1" in found["balance"].text
    with pytest.raises(DataError, match="there is no column 'tema'"):
        examine(path, Ask(category="tema"))


# ---- the parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "word"),
    [(99, "too few"), (100, "format"), (1_000, "domain"), (10_000, "behaviour"), (100_000, "most")],
)
def test_the_size_is_judged_after_the_table(rows: int, word: str) -> None:
    assert word in verdict(rows)


@pytest.mark.parametrize(
    ("parameters", "word"), [(135_000_000, "more"), (3 * 10**9, "too"), (8 * 10**9, "fewer")]
)
def test_the_verdict_minds_the_size_of_the_model(parameters: int, word: str) -> None:
    said = verdict(500, parameters)
    assert said.startswith(verdict(500))
    assert word in said.removeprefix(verdict(500))


@pytest.mark.parametrize("text", PERSONAL)
def test_personal_data_is_told_by_its_form(text: str) -> None:
    assert text not in mask(f"Write to {text}, please.")


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com", "DE89 3704 0044 0532 0130 01", "4111 1111 1111 1112", "3.14159265",
        "In 1998 and 2024 there were 12,345,678 of them.", "2024-05-01 12:30:45", "a@b",
        "1 + 2 = 3", "123456789012", "@property", "192.168.100.200",
    ],
)  # fmt: skip
def test_numbers_and_examples_are_no_personal_data(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The cat that was in the garden is not here.", "English"),
        ("Die Katze ist nicht auf dem Hof, und das ist gut.", "German"),
        ("Le chat est dans le jardin et il ne vient pas.", "French"),
        ("これは猫です。庭にいます。", "Japanese"),
        ("这是一只猫。", "Chinese"),
        ("هذه قطة في الحديقة", "Arabic"),
        ("42", ""),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert language_of(text) == language


@given(st.lists(st.text(max_size=80), min_size=1, max_size=30))
def test_equal_texts_are_always_one_cluster(texts: list[str]) -> None:
    index = Sketches()
    for number, text in enumerate([*texts, *texts]):
        index.add(number, text)
    firsts = index.clusters().tolist()
    assert firsts[: len(texts)] == firsts[len(texts) :]
    assert all(firsts[first] == first <= place for place, first in enumerate(firsts))


def test_the_sample_data_opens_as_before() -> None:
    facts = inspect_data(Path("sample:prompts.jsonl"))
    assert (facts.format, facts.problems) == ("prompts", ())
