"""Datasets: read strictly, recognised, counted, and complained about by line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.dataset import Example, inspect_data, overlap, question_side, read_examples, split
from core.errors import DataError
from core.reading import base

GOOD = '{"prompt": "2 + 2?", "answer": "4"}\n'


def _file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _refusal(path: Path, **how: object) -> DataError:
    with pytest.raises(DataError) as caught:
        inspect_data(path, **how)  # type: ignore[arg-type]
    assert caught.value.hint, "a refusal without a way out"
    return caught.value


def _questions(path: Path) -> list[str]:
    return [example.messages[0]["content"] for example in read_examples(path)[0]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", GOOD),
        ("x.ndjson", "\n" + GOOD + "\n"),
        ("x.JSONL", GOOD.replace("\n", "\r\n")),
        ("bom.jsonl", b"\xef\xbb\xbf" + GOOD.encode()),
        ("utf16.jsonl", GOOD.encode("utf-16")),
        ("x.json", f"[{GOOD}]"),
        ("data.json", f'{{"version": [1], "data": [{GOOD}], "more": 2}}'),
        ("lines.json", GOOD + '{"prompt": "b", "answer": "c"}\n'),
        ("x.csv", "prompt,answer\n2 + 2?,4\n"),
        ("german.csv", 'prompt;answer\n"2 + 2?";4\n'),
        ("bom.csv", "\ufeffprompt,answer\r\n2 + 2?,4\r\n"),
        ("x.tsv", "prompt\tanswer\n2 + 2?\t4\n"),
        ("utf16.tsv", "prompt\tanswer\n2 + 2?\t4\n".encode("utf-16")),
    ],
)
def test_every_kind_of_file_is_read(name: str, content: str | bytes, tmp_path: Path) -> None:
    path = _file(tmp_path, name, content)
    assert _questions(path)[0] == "2 + 2?"
    facts = inspect_data(path)
    assert (facts.format, facts.problems) == ("prompts", ())
    assert facts.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_lines_are_numbered_as_an_editor_numbers_them(tmp_path: Path) -> None:
    table = _file(tmp_path, "x.csv", 'prompt,answer\n"two\nlines",a\nx,b\n')
    assert [e.line for e in read_examples(table)[0]] == [2, 4]
    spread = _file(
        tmp_path,
        "x.json",
        '[\n{"prompt": "a",\n "answer": "b"},\n\n{"prompt": "c", "answer": "d"}]',
    )
    assert [e.line for e in read_examples(spread)[0]] == [2, 5]


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("x.jsonl", GOOD + '{"prompt": "a" "answer": "b"}\n', "line 2, column 16"),
        ("x.jsonl", GOOD * 300 + "{\n", "line 301, column 2"),
        ("x.jsonl", GOOD + "[1]\n", "line 2, column 1: a row must be an object"),
        ("x.jsonl", GOOD + '{"prompt": NaN}\n', "line 2, column 1: NaN"),
        ("x.jsonl", GOOD + '{"a":' * 100_000 + "\n", "line 2, column 1: nested too deep"),
        ("x.jsonl", GOOD + '{"prompt": "a\x00"}\n', "not text"),
        ("x.jsonl", GOOD.encode() + b'{"prompt": "\xe4"}\n', "line 2, column 13: byte 13"),
        ("x.json", "[" + GOOD + ',{"prompt": }]', "line 2, column 13"),
        ("x.json", "[" + GOOD + ", 3]", "line 2, column 3: a row must be an object"),
        ("x.json", "[" + GOOD, "line 2, column 1: not valid JSON"),
        ("x.json", '{"rows": []}', "found: rows"),
        ("x.json", "[" + GOOD + "{}]", "line 2, column 1: not valid JSON: expected ','"),
        ("x.json", "3", "line 1, column 1"),
        ("x.csv", "prompt,answer\na,b\na,b,c\n", "line 3, column 1: 3 cells"),
        ("x.csv", 'prompt,answer\na,"b\n', "line 2"),
        ("x.csv", b"prompt,answer\na,\xe4\n", "line 2, column 3: byte 3"),
        ("x.csv", "prompt,prompt\na,b\n", "'prompt' is there twice"),
    ],
)
def test_a_broken_place_is_named(
    name: str, content: str | bytes, place: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, name, content)
    error = _refusal(path)
    assert place in str(error)
    assert str(path) in str(error)


def test_all_broken_lines_are_named_at_once(tmp_path: Path) -> None:
    path = _file(tmp_path, "x.jsonl", GOOD + "{\n" + GOOD + "}\n")
    error = _refusal(path)
    assert [problem.text.split(":")[0] for problem in error.problems] == [
        "line 2, column 2", "line 4, column 1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.jsonl", "", "is empty"),
        ("x.jsonl", " \n\n", "is empty"),
        ("x.json", "[]", "holds no rows"),
        ("x.csv", "prompt,answer\n", "holds no rows"),
        ("x.parquet", b"PAR1\x00", "a Parquet table"),
        ("x.jsonl", b"PAR1\x00", "a Parquet table"),
        ("x.parquet", b"\x1f\x8b\x08", "a gzip archive"),
        ("x.jsonl", b"\x1f\x8b\x08", "a gzip archive"),
        ("x.xlsx", b"PK\x03\x04", "an Excel workbook"),
        ("x.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "was not downloaded"),
        ("x.jsonl", "<!DOCTYPE html>", "a web page"),
        ("x.jsonl", b"abc\x00def", "zero byte at position 3"),
        ("x.pdf", "Hello.", "a .pdf file"),
        ("x", "Hello.", "a file without an ending"),
    ],
)
def test_what_is_no_dataset_is_refused_by_name(
    name: str, content: str | bytes, words: str, tmp_path: Path
) -> None:
    assert words in str(_refusal(_file(tmp_path, name, content)))


def test_an_unclear_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    assert "without a file of rows" in str(_refusal(tmp_path))
    _file(tmp_path, "rows.jsonl", GOOD)
    _file(tmp_path, "rows.csv", "prompt,answer\na,b\n")
    assert "rows.jsonl" in _refusal(tmp_path).hint
    assert "There is no file" in str(_refusal(tmp_path / "missing.jsonl"))


def test_an_endless_line_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "LINE_LIMIT", 1000)
    path = _file(tmp_path, "x.jsonl", GOOD + '{"prompt": "' + "a" * 5000 + '"}\n' + "{\n")
    error = _refusal(path)
    assert [problem.text.split(":")[0] for problem in error.problems] == [
        "line 2, column 1", "line 3, column 2",
    ]  # fmt: skip


def test_unknown_columns_are_named_with_what_was_expected(tmp_path: Path) -> None:
    path = _file(tmp_path, "x.csv", "frage,antwort\na,b\n")
    error = _refusal(path)
    assert "'frage', 'antwort'" in str(error)
    assert "prompts: 'prompt', 'answer'" in str(error)
    assert "data.columns" in error.hint
    facts = inspect_data(path, columns={"prompt": "frage", "answer": "antwort"})
    assert (facts.format, facts.rows) == ("prompts", 1)
    assert facts.mapping == {"prompt": "frage", "answer": "antwort"}


def test_slips_of_the_pen_are_recognised(tmp_path: Path) -> None:
    path = _file(tmp_path, "x.csv", "instuction,result\na,b\n")
    assert "Did you mean 'instruction' by 'instuction'?" in str(_refusal(path))
    assert "did you mean 'result'?" in str(_refusal(path, columns={"answer": "resutl"}))
    assert "did you mean chat?" in str(_refusal(path, format="chta"))


def test_a_format_asked_for_is_not_replaced_by_another(tmp_path: Path) -> None:
    path = _file(tmp_path, "x.jsonl", GOOD)
    assert "chat: 'messages'" in str(_refusal(path, format="chat"))
    rows = _file(tmp_path, "y.jsonl", '{"messages": "Hello."}\n')
    assert "line 1: 'messages' is text, a list of messages was expected" in str(_refusal(rows))


def test_a_dataset_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, "x.jsonl", '{"prompt": "a", "answer": ""}\n' * 7)
    error = _refusal(path)
    assert "none of the 7 rows can be used" in str(error)
    assert "lines 1, 2, 3, 4, 5, ..." in str(error)


def _rows(*pairs: tuple[str, str], **more: object) -> str:
    return "".join(json.dumps({"prompt": p, "answer": a, **more}) + "\n" for p, a in pairs)


def test_findings_count_and_name_lines(tmp_path: Path) -> None:
    path = _file(
        tmp_path, "x.jsonl", _rows(("a", "1"), ("a", "1"), ("a", "2"), ("b", ""), ("c", "3"), id=7)
    )
    facts = inspect_data(path)
    found = {
        finding.code: (finding.severity, finding.count, finding.rows) for finding in facts.problems
    }
    assert found == {
        "empty_answer": ("error", 1, (4,)),
        "duplicates": ("warning", 1, (2,)),
        "contradictions": ("warning", 1, (3,)),
        "unused_columns": ("note", 1, ()),
    }
    assert (facts.rows, facts.unusable) == (4, 1)
    assert (facts.mean_chars, facts.max_chars) == (2.0, 2)


def test_one_question_may_have_many_pairs(tmp_path: Path) -> None:
    """The same pair twice is a copy, the other way round a contradiction; others are neither."""
    pairs = [("4", "5"), ("4", "6"), ("4", "5"), ("5", "4")]
    rows = [{"prompt": "2 + 2?", "chosen": one, "rejected": two} for one, two in pairs]
    facts = inspect_data(_file(tmp_path, "x.jsonl", "\n".join(map(json.dumps, rows))))
    found = {finding.code: finding.rows for finding in facts.problems}
    assert found == {"duplicates": (3,), "contradictions": (4,)}
    assert (facts.mean_chars, facts.max_chars) == (14.0, 7)
    examples, _ = read_examples(facts.path)
    assert [e.rejected[-1]["content"] for e in examples if e.rejected] == ["5", "6", "5", "4"]


def test_what_would_be_ignored_is_said(tmp_path: Path) -> None:
    weighted = {"messages": [{"role": "user", "content": "a"},
                             {"role": "assistant", "content": "b", "weight": 0}],
                "tools": [{"name": "f"}]}  # fmt: skip
    facts = inspect_data(_file(tmp_path, "x.jsonl", json.dumps(weighted)))
    assert {finding.code for finding in facts.problems} == {"weights", "tools"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [(['{"a": 1}', "[2]"], True), (['{"a": 1}', "plain"], False), (["1", "2"], False)],
)
def test_answers_in_json_are_noticed(answers: list[str], expected: bool, tmp_path: Path) -> None:
    path = _file(tmp_path, "x.jsonl", _rows(*((str(n), a) for n, a in enumerate(answers))))
    assert inspect_data(path).json_answers is expected


def test_a_sample_is_short_however_long_the_rows_are(tmp_path: Path) -> None:
    path = _file(tmp_path, "x.jsonl", _rows(*((str(n), "x" * 100_000) for n in range(20))))
    sample = inspect_data(path).sample
    assert len(sample) == 5
    assert len(json.dumps(sample)) < 20_000


def _examples(questions: Sequence[str]) -> list[Example]:
    return [
        Example(line, [{"role": "user", "content": q}, {"role": "assistant", "content": str(line)}])
        for line, q in enumerate(questions, start=1)
    ]


questions = st.lists(st.sampled_from([str(n) for n in range(30)]), max_size=60)
shares = st.floats(0, 0.5)


@given(questions, shares, st.integers(0, 5))
def test_a_split_loses_nothing_and_leaks_nothing(asked: list[str], share: float, seed: int) -> None:
    examples = _examples(asked)
    train, heldout = split(examples, round(len(examples) * share), seed)
    assert sorted([*train, *heldout], key=lambda e: e.line) == examples
    assert overlap(train, heldout) == ()
    assert len(heldout) <= round(len(examples) * share)
    assert split(examples, round(len(examples) * share), seed) == (train, heldout)


@given(st.integers(0, 200), shares, st.integers(0, 5))
def test_a_split_of_different_questions_is_exact(count: int, share: float, seed: int) -> None:
    _, heldout = split(_examples([str(n) for n in range(count)]), round(count * share), seed)
    assert len(heldout) == round(count * share)


def test_another_seed_holds_out_other_rows() -> None:
    examples = _examples([str(n) for n in range(100)])
    assert split(examples, 20, 0)[1] != split(examples, 20, 1)[1]
    assert [e.line for e in split(examples[:20], 2, 0)[1]] == [2, 17], "must never change"


def test_leaks_are_counted_and_located() -> None:
    [finding] = overlap(_examples(["a", "b"]), _examples(["x", "b ", "a"]))
    assert (finding.code, finding.count, finding.rows) == ("overlap", 2, (2, 3))
    assert "2 of 3 held-out questions" in finding.text


def test_the_question_side_is_everything_before_the_last_answer() -> None:
    one, other = _examples(["a", "a"])
    assert question_side(one.messages) == question_side(other.messages)
    assert question_side(one.messages[:1]) != question_side([])


mutations = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=mutations,
    name=st.sampled_from(["x.jsonl", "x.json", "x.csv", "x.tsv"]),
    cut=st.integers(0, 200),
)
def test_damaged_files_are_read_or_refused_and_never_crash(
    changes: list[tuple[int, int]], name: str, cut: int, tmp_path: Path
) -> None:
    text = {"json": f"[{GOOD},{GOOD}]", "jsonl": GOOD * 3}.get(
        name[2:], 'prompt,answer\n2,4\n"a,b",c\n'
    )
    raw = bytearray(text.encode())
    for position, value in changes:
        raw[position % len(raw)] = value
    path = _file(tmp_path, name, bytes(raw[: len(raw) - cut % 20]))
    try:
        facts = inspect_data(path)
    except DataError as error:
        assert str(error)  # noqa: PT017 - reading it is as right as refusing it
        assert error.hint  # noqa: PT017 - reading it is as right as refusing it
    else:
        assert facts.rows > 0
