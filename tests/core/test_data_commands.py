"""`tunesmith data`: the documents scripts rely on, refusals, and what people see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core import cli
from core.data_commands import _row_lines
from core.formats import FORMATS
from core.tokens import Piece, PreviewRow
from tests.core.containers import CONTAINERS, write
from tests.core.planted import clean

SAMPLES = Path(__file__).parents[1] / "data" / "formats"
KEYS = {"format", "confidence", "rows", "columns", "mapping", "problems", "tokens", "verdict"}


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = cli.main(["data", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def document(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    status, out, err = call(capsys, *words, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write(tmp_path, "x.jsonl", clean())


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_inspect_tells_every_format(format: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "inspect", SAMPLES / f"{format.name}.jsonl")
    assert found.keys() >= KEYS
    assert (found["format"], found["rows"], found["tokens"]) == (format.name, 3, None)
    assert found["mapping"].keys() >= set(format.required)
    assert set(found["mapping"].values()) <= set(found["columns"])
    fault = next(p for p in found["problems"] if p["severity"] == "error")
    assert fault.keys() == {
        "code", "severity", "title", "count", "rows", "partners", "text", "fix", "mendable",
    }  # fmt: skip
    assert (fault["count"], fault["rows"]) == (1, [4])


@pytest.mark.parametrize("name", CONTAINERS)
def test_inspect_opens_every_container(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "inspect", write(tmp_path, name, clean()))
    assert (found["format"], found["rows"], found["problems"]) == ("prompts", 60, [])


def test_inspect_speaks_to_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = clean()
    planted[4]["answer"] = "\x1b]0;owned\x07Mail anna.lang@firma.de"
    path = write(tmp_path, "x.jsonl", [row | {"\x1b[31mnote": "x"} for row in planted])
    status, out, _ = call(capsys, "inspect", path)
    assert status == 0
    assert "Data: 60 rows of the format prompts" in out
    assert "Learned by: Imitate examples (SFT), Earn rewards (PPO)" in out
    assert "warning: 1 row holds a mail address" in out
    assert "(line 5)" in out
    assert "Fix: Puts [EMAIL]" in out
    assert "60 rows: too few to rely on" in out
    assert "\x1b" not in out


def test_fix_writes_a_copy_and_says_what_it_did(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rows.read_text(encoding="utf-8").splitlines()
    lines[4] = json.dumps({"prompt": "Who?", "answer": "Ask anna.lang@firma.de \x1b[31m"})
    rows.write_text("\n".join([*lines, "{"]), encoding="utf-8")
    target = rows.with_name("good.jsonl")
    status, out, _ = call(capsys, "fix", rows, "-o", target)
    assert status == 0
    assert "61 rows read" not in out, "a broken line is no row"
    assert "60 rows read, 60 written." in out
    assert "broken_lines: 1 left out" in out
    assert "personal_data: 1 changed\n  line 5\n    - Ask anna.lang@firma.de" in out
    assert "    + Ask [EMAIL]" in out
    assert "\x1b" not in out
    found = document(capsys, "fix", rows, "-o", rows.with_name("mails.jsonl"), "--only",
                     "personal_data")  # fmt: skip
    assert {change["code"] for change in found["changes"]} == {"personal_data", "broken_lines"}


def test_split_and_overlap(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "split", rows, "--eval", "0.2", "--test", "0.1")
    assert [(part["name"], part["rows"]) for part in found["parts"]] == [
        ("train", 42), ("eval", 12), ("test", 6),
    ]  # fmt: skip
    train, held, _ = (part["path"] for part in found["parts"])
    assert document(capsys, "overlap", train, held)["problems"] == []
    found = document(capsys, "overlap", rows, held, "--ngram", "12")
    leak = next(problem for problem in found["problems"] if problem["code"] == "leakage")
    assert leak["count"] == 12
    assert "No overlap of 13 words" in call(capsys, "overlap", train, held)[1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["inspect", "nowhere.jsonl"], "There is no file"),
        (["inspect", "x.jsonl", "--format", "chta"], "did you mean chat?"),
        (["inspect", "x.jsonl", "--column", "prompt"], "expected is PART=COLUMN"),
        (["inspect", "x.jsonl", "--column", "prompt=frage"], "there is no column 'frage'"),
        (["inspect", "x.jsonl", "--by", "topic"], "there is no column 'topic'"),
        (["inspect", "x.jsonl", "--heldout", "nowhere.csv"], "There is no file"),
        (["inspect", "x.jsonl", "--against", "nowhere.csv"], "There is no file"),
        (["inspect", "x.jsonl", "--model", "./no-model"], "no-model"),
        (["preview", "x.jsonl"], "--model"),
        (["preview", "x.jsonl", "--model", "starter", "--rows", "0"], "--rows must be at least 1"),
        (["preview", "x.jsonl", "--model", "starter", "--max-length", "0"], "max_length"),
        (["fix", "x.jsonl"], "nothing to mend"),
        (["fix", "x.jsonl", "--only", "spaces"], "cannot be mended"),
        (["split", "x.jsonl", "--eval", "2"], "leave nothing"),
        (["split", "x.jsonl", "--eval", "many"], "many"),
        (["split", "x.jsonl", "-o", "nowhere"], "is not a folder"),
        (["overlap", "x.jsonl", "nowhere.jsonl"], "There is no file"),
        (["overlap", "x.jsonl", "x.jsonl", "--ngram", "1"], "--ngram must be at least 2"),
        (["mix", "x.jsonl"], "mix"),
        ([], "JOB"),
    ],
)
def test_what_cannot_be_done_is_refused(
    words: list[str],
    complaint: str,
    rows: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(rows.parent)
    before = sorted(rows.parent.iterdir())
    status, out, err = call(capsys, *words, "--json")
    assert status == 2
    assert err.startswith("error: ")
    assert complaint in err
    assert "\nhint: " in err
    assert "Traceback" not in err
    assert json.loads(out).keys() == {"error", "hint"}
    assert sorted(rows.parent.iterdir()) == before, "a refusal leaves nothing behind"


@pytest.mark.slow
@pytest.mark.engine
def test_preview_is_the_engines(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(
        capsys, "preview", rows, "--model", "starter", "--rows", "1", "--max-length", "24"
    )
    assert status == 0
    assert out.startswith("Row of line 1:\n  context | ")
    kinds = {line.split(" | ")[0].strip() for line in out.splitlines() if " | " in line}
    assert kinds <= {"context", "trained", "cut off"}
    assert "cut off" in kinds
    assert "Tokens per row: median" in out


def test_both_answers_of_a_pair_are_named() -> None:
    row = PreviewRow(line=3, answer="rejected", pieces=(Piece(text="No.", kind="trained"),))
    assert list(_row_lines(row)) == ["Row of line 3, rejected answer:", "  trained | No."]


@pytest.mark.slow
@pytest.mark.engine
def test_preview_under_rewards_learns_nothing(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = call(
        capsys, "preview", rows, "--model", "starter", "--rows", "1", "--objective", "grpo"
    )
    assert status == 0
    kinds = [line.split(" | ")[0].strip() for line in out.splitlines() if " | " in line]
    assert set(kinds) == {"context", "compared"}
    assert kinds[-1] == "compared"
    assert "Nothing of the rows is learned" in out


@pytest.mark.slow
@pytest.mark.engine
def test_inspect_counts_tokens_for_a_model(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "inspect", rows, "--model", "starter")
    assert found["tokens"]["rows"] == 60
    assert 0 < found["tokens"]["median"] <= found["tokens"]["p95"] <= found["tokens"]["longest"]
