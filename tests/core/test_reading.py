"""Every container gives the same rows, and every broken one is refused by name."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from pathlib import Path

import pytest

from core.dataset import inspect_data, read_examples
from core.errors import DataError
from core.reading import BadLine, Line, base, digest_of, prose, read_rows
from tests.core.containers import CONTAINERS, as_parquet, jsonl, write

ROWS = [{"prompt": f"Wie heißt {n}?", "answer": f"„{n}“ – 名前"} for n in range(5)]


def _refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        inspect_data(path)
    assert path.name.partition("#")[0] in str(caught.value)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, ROWS)
    assert [line.row for line in read_rows(path) if isinstance(line, Line)] == ROWS
    facts = inspect_data(path)
    assert (facts.format, facts.rows, facts.confidence) == ("prompts", 5, 1.0)


@pytest.mark.parametrize("name", CONTAINERS)
def test_half_a_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, ROWS)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 2 // 3] if name != "stream.arrow" else raw[:-40])
    _refusal(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_are_recognised(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl(ROWS).decode().encode(encoding))
    assert [line.row for line in read_rows(path) if isinstance(line, Line)] == ROWS


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.txt"])
def test_a_file_of_nothing_but_a_mark_of_its_encoding_holds_no_rows(
    name: str, mark: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(mark)
    with pytest.raises(DataError, match="holds no rows"):
        inspect_data(path)


@pytest.mark.parametrize("text", ["{", '{"a": 1,', '{"a"', '{"data": [', '{"data": [{"a": 1},'])
def test_json_in_one_piece_that_breaks_off_is_damaged(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="not valid JSON"):
        inspect_data(path)


def test_an_old_encoding_is_named_and_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("prompt,answer\nheißt,x\n".encode("cp1252"))
    assert (
        "line 2, column 4: byte 4 of the line (0xDF) is not UTF-8, it is 'ß' in Windows-1252"
        in str(_refusal(path))
    )


def test_a_long_text_is_parted_at_blank_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prose, "PIECE", 20)
    path = tmp_path / "book.md"
    path.write_text("# One\n\nA first paragraph.\nIts end.\n\n\nA second one.\n", encoding="utf-8")
    assert list(read_rows(path)) == [
        Line(1, {"text": "# One\n\nA first paragraph.\nIts end."}),
        Line(7, {"text": "A second one."}),
    ]
    assert inspect_data(path).format == "text"


def test_a_folder_is_one_dataset_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(jsonl(ROWS[2:]))
    (tmp_path / "a.jsonl").write_bytes(jsonl(ROWS[:2]))
    (tmp_path / "README.md").write_text("# About these rows", encoding="utf-8")
    (tmp_path / ".hidden.csv").write_text("x", encoding="utf-8")
    assert [example.line for example in read_examples(tmp_path)[0]] == [1, 2, 3, 4, 5]
    before = digest_of(tmp_path)
    (tmp_path / "b.jsonl").write_bytes(jsonl(ROWS[2:]) + b"{\n")
    assert digest_of(tmp_path) != before
    [bad] = [line for line in read_rows(tmp_path) if isinstance(line, BadLine)]
    assert str(bad).startswith("b.jsonl, line 4, column 2: ")


def test_rows_to_measure_on_are_never_mixed_in(tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_bytes(jsonl(ROWS))
    assert "files to learn from and files to measure on" in str(_refusal(tmp_path))
    (tmp_path / "test.jsonl").rename(tmp_path / "train-2.jsonl")
    assert inspect_data(tmp_path).rows == 10


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    assert "no regular file" in str(_refusal(tmp_path / "x.jsonl"))


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.jsonl").write_bytes(jsonl(ROWS))
    (folder / "x.jsonl").symlink_to(tmp_path / "secret.jsonl")
    assert "without a file of rows" in str(_refusal(folder))


def test_a_packed_file_that_grows_without_end_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "WHOLE_LIMIT", 10_000)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b"[" + b" \n" * 100_000 + b"{}]"))
    assert "too large for one piece" in str(_refusal(path))


def test_a_workbook_that_is_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 20_000_000)
    assert "unpacks to 20,000,000 bytes" in str(_refusal(path))


def test_a_table_under_a_wrong_ending_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.arrow"
    path.write_bytes(as_parquet(ROWS))
    assert "is a Parquet table" in str(_refusal(path))


# ---- LLaMA-Factory -------------------------------------------------------------------------------


def _list(folder: Path, **entries: object) -> Path:
    path = folder / "dataset_info.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_a_list_of_llama_factory_names_columns_and_roles(tmp_path: Path) -> None:
    turns = [{"role": "q", "content": "Hi"}, {"role": "a", "content": "Hello."}]
    (tmp_path / "chat.jsonl").write_bytes(jsonl([{"talk": turns}]))
    (tmp_path / "plain.jsonl").write_bytes(jsonl([{"frage": "2 + 2?", "antwort": "4"}]))
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "q", "assistant_tag": "a"}
    path = _list(
        tmp_path,
        talk={"file_name": "chat.jsonl", "formatting": "sharegpt",
              "columns": {"messages": "talk"}, "tags": tags},
        sums={"file_name": "plain.jsonl", "columns": {"prompt": "frage", "response": "antwort"}},
        far={"hf_hub_url": "somebody/something"},
    )  # fmt: skip
    chosen = path.with_name("dataset_info.json#talk")
    [example] = read_examples(chosen)[0]
    assert [m["content"] for m in example.messages] == ["Hi", "Hello."]
    assert inspect_data(chosen).format == "sharegpt"
    facts = inspect_data(path.with_name("dataset_info.json#sums"))
    assert (facts.format, facts.digest) == ("instruct", digest_of(tmp_path / "plain.jsonl"))
    assert "talk, sums" in _refusal(path).hint
    assert "lies somewhere else" in str(_refusal(path.with_name("dataset_info.json#far")))


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jsonl", "/etc/hosts", "https://example.org/x.jsonl", "a/../../secret.jsonl",
        "link.jsonl", "..\\secret.jsonl", "dataset_info.json", ".",
    ],
)  # fmt: skip
def test_a_list_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.jsonl").write_bytes(jsonl(ROWS))
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    path = _list(folder, only={"file_name": name})
    assert "not a file inside this folder" in str(_refusal(path))
