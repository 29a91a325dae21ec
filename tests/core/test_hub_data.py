"""Datasets through the real fetch process, from a Hub that runs on this computer."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core import commands, hub, hub_data
from core.cli import main
from core.dataset import inspect_data
from core.errors import DataError, HubError
from core.hub_data import by_name, matches, split_of
from core.hub_spec import HubSpec, as_spec, located, read_spec
from core.hub_wire import Wire
from core.recipe import parse
from tests.core.hub_server import Hub, Repo, serve

ID = "maker/talks"


def rows(count: int, word: str = "own") -> bytes:
    lines = [json.dumps({"prompt": f"{word} {n}?", "answer": f"{n}"}) for n in range(count)]
    return "\n".join(lines).encode() + b"\n"


def parquet(count: int, word: str = "own") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"prompt": [f"{word} {n}?" for n in range(count)], "answer": ["yes"] * count}
    held = io.BytesIO()
    pq.write_table(pa.table(columns), held)
    return held.getvalue()


def readme(text: str) -> bytes:
    return f"---\nlicense: mit\n{text}---\n# Talks\n".encode()


@pytest.fixture(autouse=True)
def online(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch, repo: Repo) -> Iterator[Hub]:
    with serve({f"datasets/{ID}": repo}) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        yield found


def bring(text: str) -> Path:
    spec = read_spec(text)
    assert spec is not None
    with hub.fetch_data(spec) as fetch:
        list(fetch.progress())
    assert fetch.folder == spec.folder
    return spec.folder


def get(text: str) -> Path:
    """Download as the fetch process does, without starting one."""
    spec = read_spec(text)
    assert spec is not None
    return hub_data.get(spec, Wire(), lambda line: None)


def questions(text: str) -> set[str]:
    """First words of what is asked in a dataset that is here."""
    return {str(row["prompt"]).split()[0] for row in inspect_data(Path(text)).sample}


def refusal(text: str) -> HubError:
    with pytest.raises(HubError) as caught:
        get(text)
    assert caught.value.hint
    with pytest.raises(DataError, match="not on this computer"):
        located(text)
    return caught.value


SHARDS = {
    "README.md": b"# Talks\n",
    "data/train-00000-of-00002.parquet": parquet(3, "train"),
    "data/train-00001-of-00002.parquet": parquet(2, "train"),
    "data/test_sft-00000-of-00001.parquet": parquet(4, "sft"),
    "talks.py": b"raise SystemExit",
}
LISTED = {
    "README.md": readme(
        "configs:\n"
        "- config_name: main\n  default: true\n  data_files:\n"
        "  - {split: train, path: 'good/**'}\n"
        "  - {split: test, path: [kept.jsonl]}\n"
        "- config_name: other\n  data_files: 'more/*.jsonl'\n"
    ),
    "good/deep/a.jsonl": rows(3, "good"),
    "kept.jsonl": rows(2, "kept"),
    "more/x.jsonl": rows(5, "more"),
    "junk.jsonl": rows(9, "junk"),
}
CONVERTED = {
    "en/train/0000.parquet": parquet(6, "english"),
    "de/train/0000.parquet": parquet(7, "german"),
}


@pytest.mark.parametrize(
    ("repo", "text", "count", "word"),
    [
        (Repo(SHARDS), "hub:maker/talks", 5, "train"),
        (Repo(SHARDS), "hub:maker/talks#test_sft", 4, "sft"),
        (Repo(SHARDS), f"hub:maker/talks@{'a' * 40}#train", 5, "train"),
        (Repo(LISTED), "hub:maker/talks", 3, "good"),
        (Repo(LISTED), "hub:maker/talks#test", 2, "kept"),
        (Repo(LISTED), "hub:maker/talks#other/train", 5, "more"),
        (Repo({"train.csv": b"prompt,answer\na b,c\n"}), "hub:maker/talks", 1, "a"),
        (Repo({"a.json": rows(2), "state.json": b"{}"}), "hub:maker/talks", 2, "own"),
        (Repo({"talks.py": b""}, converted=CONVERTED), "hub:maker/talks#de/train", 7, "german"),
        (Repo({"talks.py": b""}, converted=CONVERTED), "hub:maker/talks#en/train", 6, "english"),
    ],
)
def test_the_right_files_are_found(
    repo: Repo, text: str, count: int, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(monkeypatch, repo) as found:
        get(text)
        assert not found.asked("talks.py"), "no program of theirs is even downloaded"
    assert inspect_data(Path(text)).rows == count
    assert questions(text) == {word}


@pytest.mark.parametrize(
    ("repo", "text", "words"),
    [
        (Repo(SHARDS), "hub:maker/talks#validation", "no split 'validation'.*There is: t"),
        (Repo(LISTED), "hub:maker/talks#third/train", "no configuration 'third'.*main, other"),
        (Repo(SHARDS), "hub:maker/talks@v9", "no such revision"),
        (Repo({"talks.py": b""}), "hub:maker/talks", "no stranger's program is run"),
        (Repo({"a.png": b""}), "hub:maker/talks", "no files with rows"),
        (Repo({"a/b.json": b"1", "a--b.json": b"2"}), "hub:maker/talks", "differ only by folders"),
        (Repo({"talks.py": b""}, converted=CONVERTED), "hub:maker/talks", "several config.*de, en"),
        (
            Repo({"x.py": b""}, converted={"a/partial-train/0.parquet": parquet(1)}),
            "hub:maker/talks",
            "only a part",
        ),
        (Repo(SHARDS, gated=True), "hub:maker/talks", "gated.*datasets/maker/talks"),
        (Repo(SHARDS), "hub:maker/other", "no dataset maker/other on the Hub"),
        (Repo({"README.md": readme("configs: [\n")}), "hub:maker/talks", "README.md:"),
    ],
)
def test_refusals_say_what_to_do(
    repo: Repo, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(monkeypatch, repo):
        error = refusal(text)
    assert re.search(words, f"{error} {error.hint}", re.S)


def test_a_connection_that_breaks_goes_on_where_it_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch, Repo(SHARDS, cut_after=500)) as found:
        bring("hub:maker/talks")
    assert found.asked("data/train-00000-of-00002.parquet") == ["", "bytes=500-"]
    assert inspect_data(Path("hub:maker/talks")).rows == 5


def test_a_cancelled_download_goes_on_and_is_never_half_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repo, spec = Repo({"train.jsonl": rows(5_000)}, stall_after=3000), HubSpec(ID)
    with running(monkeypatch, repo) as found:
        with hub.fetch_data(spec) as fetch:
            for line in fetch.progress():
                if line.done:
                    fetch.cancel()
        assert not spec.folder.exists()
        repo.stall_after = 0
        bring(str(spec))
    assert found.asked("train.jsonl") == ["", "bytes=3000-"]
    assert inspect_data(Path(str(spec))).rows == 5_000


def test_without_a_network_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert main(["data", "inspect", f"hub:{ID}"]) == 2
    assert f"hub:{ID}: http://127.0.0.1" in (told := capsys.readouterr().err)
    assert "cannot be reached" in told


def test_the_terminal_downloads_and_inspects(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(monkeypatch, Repo(LISTED)) as found:
        for _ in range(2):
            status = main(["data", "inspect", f"hub:{ID}", "--split", "test", "--json"])
            assert status == 0
            told = json.loads(capsys.readouterr().out)
            assert (told["rows"], told["format"]) == (2, "prompts")
        assert len(found.asked("kept.jsonl")) == 1, "the second time it is here"
        assert main(["data", "inspect", ID, "--split", "other", "--json"]) == 2
    assert "no split 'other'" in json.loads(capsys.readouterr().out)["error"]


def test_fetch_knows_datasets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(monkeypatch, Repo(SHARDS)):
        assert main(["fetch", f"hub:{ID}#train", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"dataset": f"hub:{ID}#train", "folder": str(located(f"hub:{ID}#train"))}


def test_a_recipe_may_name_datasets_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = {"path": ID, "replay": {"path": f"hub:{ID}#test_sft", "rows": 2}}
    path = tmp_path / "recipe.yaml"
    path.write_text(parse({"data": data}).to_yaml(), encoding="utf-8")
    chosen = commands.load(path)
    assert chosen.data.path == f"hub:{ID}"
    with running(monkeypatch, Repo(SHARDS)):
        facts = commands.gather(chosen, count=False)
    assert facts.data is not None
    assert facts.data.rows == 5
    assert [known.rows for known in facts.further] == [4]


def test_what_is_not_here_says_how_to_get_it() -> None:
    with pytest.raises(DataError, match="not on this computer") as caught:
        inspect_data(Path(f"hub:{ID}#train"))
    assert f"tunesmith fetch hub:{ID}#train" in caught.value.hint


def test_a_copy_of_a_hub_dataset_needs_a_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fix", f"hub:{ID}"]) == 2
    assert "-o" in capsys.readouterr().err
    assert main(["data", "inspect", "rows.jsonl", "--split", "train"]) == 2
    assert "--split is for datasets of the Hub" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("hub:a/b", HubSpec("a/b")),
        ("hub:a/b@v1.0#c/d", HubSpec("a/b", "v1.0", "c", "d")),
        ("hub:a/b#d", HubSpec("a/b", split="d")),
        ("a/b", HubSpec("a/b")),
        ("a/b.jsonl", None),
        ("rows", None),
        ("/a/b", None),
        ("sample:tickets.jsonl", None),
    ],
)
def test_names_of_datasets(text: str, spec: HubSpec | None, tmp_path: Path) -> None:
    assert as_spec(text, tmp_path) == spec
    if spec is not None:
        assert read_spec(str(spec)) == spec


def test_a_folder_that_is_there_is_no_dataset_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert as_spec("a/b", tmp_path) is None


@pytest.mark.parametrize("text", ["hub:", "hub:a", "hub:a/b/c", "hub:../b", "hub:a/b#../x"])
def test_names_that_lead_elsewhere_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="not the name of a Hub dataset"):
        read_spec(text)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("data/train-0.parquet", "data/train-*", True),
        ("data/deep/train-0.parquet", "data/train-*", False),
        ("a/b/c.jsonl", "a/**", True),
        ("a/b/c.jsonl", "**/*.jsonl", True),
        ("c.jsonl", "**/*.jsonl", True),
        ("c.jsonl", "./c.jsonl", True),
        ("c.json", "*.jsonl", False),
    ],
)
def test_patterns_of_a_readme(name: str, pattern: str, fits: bool) -> None:
    assert matches(name, pattern) is fits


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train_sft-00000-of-00003.parquet", "train_sft"),
        ("en/c4-train.00000-of-01024.json", "train"),
        ("default/validation/0000.parquet", "validation"),
        ("my_dev_file.csv", "validation"),
        ("testimonials.csv", "train"),
    ],
)
def test_splits_by_name(name: str, split: str) -> None:
    assert split_of(name) == split


def test_one_kind_of_files_is_taken() -> None:
    found = by_name(["train.csv", "train.parquet", "test.parquet"])
    assert found == {"train": ["train.parquet"], "test": ["test.parquet"]}


def test_a_pattern_that_was_made_to_take_for_ever_fits_nothing() -> None:
    name = "/".join("a" * 30)
    assert not matches(name, "**/a/" * 12 + "b")
    assert not matches(name, "/".join("a" * 100_000))
    assert matches(name, "**/" * 50_000 + "a")
