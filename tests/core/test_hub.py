"""Downloads through the real fetch process, from a Hub that runs on this computer."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core import catalog, cli, hub, models
from core.errors import HubError, ModelError
from core.fetch import SOURCE
from core.hub_files import Remote, refuse_full_disk
from core.hub_wire import refusal
from tests.core.hub_server import Hub, Repo, serve
from tests.core.model_folders import write_model

ID = "maker/tiny"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    folder = write_model(tmp_path / "origin")
    return {path.name: path.read_bytes() for path in folder.iterdir()} | {
        "pytorch_model.bin": b"never", "modeling.py": b"never", "onnx/model.safetensors": b"never",
        "consolidated.safetensors": b"never",
    }  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in (
        "HF_HUB_OFFLINE",
        "HF_TOKEN",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@contextmanager
def _hub(monkeypatch: pytest.MonkeyPatch, repo: Repo) -> Iterator[Hub]:
    with serve({ID: repo}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def _refusal_of(model_id: str = ID) -> HubError:
    with hub.fetch(model_id) as fetch, pytest.raises(HubError) as caught:
        list(fetch.progress())
    assert caught.value.hint
    return caught.value


def test_a_download_is_whole_and_can_be_used(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="not on this computer"):
        models.resolve(ID)
    with _hub(monkeypatch, Repo(files)), hub.fetch(ID) as fetch:
        seen = list(fetch.progress())
    folder = models.resolve(ID)
    assert fetch.folder == folder == home / "models" / "maker--tiny"
    assert models.look(folder).name == ID
    assert (
        seen[-1].done
        == seen[-1].total
        == sum(len(content) for name, content in files.items() if content != b"never")
    )
    assert [line.done for line in seen] == sorted(line.done for line in seen)
    assert not {path.name for path in folder.iterdir()} & {
        "pytorch_model.bin", "modeling.py", "onnx", "consolidated.safetensors"
    }  # fmt: skip
    assert json.loads((folder / SOURCE).read_text())["commit"] == "a" * 40


def test_a_shape_is_read_without_the_weights(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files)) as running:
        hub.shape(ID)
        asked = {name for name, _ in running.ranges}
    assert asked == {"config.json", *(name for name in files if _is_shard(name))}
    told = catalog.look(ID)
    assert not told.here
    with _hub(monkeypatch, Repo(files)), hub.fetch(ID) as fetch:
        list(fetch.progress())
    whole = catalog.look(ID)
    assert whole.here
    same = {"path", "here", "template", "has_generation", "licence", "marks", "end"}
    assert told.model_dump(exclude=same) == whole.model_dump(exclude=same)


def _is_shard(name: str) -> bool:
    return name.startswith("model") and name.endswith(".safetensors")


def test_a_shape_that_cannot_be_trusted_is_refused(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = next(name for name in files if _is_shard(name))
    for header in (b"\xff" * 8, b"\x04" + b"\0" * 7 + b"nope"):
        damaged = Repo(files | {shard: header})
        with _hub(monkeypatch, damaged), pytest.raises(HubError, match="is damaged") as caught:
            hub.shape(ID)
        assert caught.value.hint
    with pytest.raises(ModelError):
        catalog.look(ID)


def test_a_plan_needs_no_download(
    files: dict[str, bytes],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with _hub(monkeypatch, Repo(files)):
        assert cli.main(["plan", "--model", ID, "--gpu", "RTX 4090", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total_parameters"] > 0
    with _hub(monkeypatch, Repo(files, gated=True)):
        assert cli.main(["plan", "--model", "maker/other", "--json"]) == 2
    said = capsys.readouterr().err
    assert "maker/other is not on this computer" in said


def test_a_model_that_is_here_is_not_fetched_again(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files)) as running:
        for _ in range(2):
            with hub.fetch(ID) as fetch:
                list(fetch.progress())
        assert len(running.asked("model.safetensors")) == 1
    assert fetch.folder is not None


def test_a_connection_that_breaks_goes_on_where_it_broke(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files, cut_after=500)) as running, hub.fetch(ID) as fetch:
        list(fetch.progress())
    assert running.asked("model.safetensors") == ["", "bytes=500-"]
    assert (models.resolve(ID) / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_a_killed_download_goes_on_where_it_was(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repo(files, stall_after=3000)
    with _hub(monkeypatch, repo) as running:
        with hub.fetch(ID) as fetch:
            for line in fetch.progress():
                if line.file == "model.safetensors":
                    fetch.cancel()
        assert fetch.cancelled
        assert fetch.folder is None
        with pytest.raises(ModelError):
            models.resolve(ID)
        repo.stall_after = 0
        with hub.fetch(ID) as again:
            list(again.progress())
    assert running.asked("model.safetensors") == ["", "bytes=3000-"]
    assert running.asked("config.json") == [""]
    assert (models.resolve(ID) / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_parts_of_an_older_version_are_thrown_away(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = home / "models" / ".fetching-maker--tiny"
    aside.mkdir(parents=True)
    (aside / ".commit").write_text("b" * 40)
    (aside / "model.safetensors.part").write_bytes(b"old")
    with _hub(monkeypatch, Repo(files)) as running, hub.fetch(ID) as fetch:
        list(fetch.progress())
    assert running.asked("model.safetensors") == [""]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damaged_bytes_are_never_kept(
    name: str, files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files, corrupt=name)) as running:
        assert f"{name} of {ID} arrived damaged twice" in str(_refusal_of())
        assert len(running.asked(name)) == 2
    with pytest.raises(ModelError):
        models.resolve(ID)
    assert not list(home.rglob(f"{name}*"))


def test_a_gated_model_says_how_to_get_in(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files, gated=True)) as running:
        error = _refusal_of()
        assert "gated" in str(error)
        assert f"{running.url}/{ID}" in error.hint
        with hub.fetch(ID, token="hf_secret") as fetch:
            list(fetch.progress())
        assert "Bearer hf_secret" in running.tokens
    assert not [
        path for path in home.rglob("*") if path.is_file() and b"hf_secret" in path.read_bytes()
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "refuses"), (404, "no model"), (429, "too many requests"), (500, "error 500")],
)
def test_refusals_are_told_apart(
    status: int, words: str, files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files, status=status)):
        assert words in str(_refusal_of())


def test_an_unknown_model_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _hub(monkeypatch, Repo({})):
        assert "There is no model maker/other on the Hub" in str(_refusal_of("maker/other"))
        assert "no safetensors weights" in str(_refusal_of())


def test_without_a_network_the_way_out_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        error = _refusal_of()
        assert "cannot be reached" in str(error)
        assert "starter model" in error.hint
        with pytest.raises(HubError, match="cannot be reached"):
            hub.search("tiny")


def test_offline_mode_is_obeyed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in str(_refusal_of())


@pytest.mark.parametrize("model_id", ["tiny", "../../etc", "a/b/c", "maker/..", "-x/y", "--help/x"])
def test_what_is_no_id_is_not_asked_for(
    model_id: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo({})) as running:
        assert "not a model id" in str(_refusal_of(model_id))
        assert not running.tokens


def test_a_search_finds_models(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files)) as running:
        [found] = hub.search("tin", limit=3)
        assert hub.search("nothing") == []
    assert found == hub.Found(
        model_id=ID, downloads=7, likes=1, licence="apache-2.0", parameters=1000
    )
    assert running.queries[0]["limit"] == ["3"]
    assert "safetensors" in running.queries[0]["filter"]


def test_a_page_that_is_not_the_hub_is_recognised(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo({})) as running:
        monkeypatch.setenv("HF_ENDPOINT", f"{running.url}/login")
        error = _refusal_of()
    assert "did not answer like the Hub" in str(error)
    assert "login page" in error.hint


def test_a_model_larger_than_the_disk_is_refused_first(files: dict[str, bytes], home: Path) -> None:
    home.mkdir()
    with pytest.raises(HubError, match="are free") as caught:
        refuse_full_disk(ID, home, [Remote("model.safetensors", 10**18, "", "")])
    assert "TUNESMITH_HOME" in caught.value.hint


def test_a_full_disk_is_called_that() -> None:
    error = refusal(OSError(errno.ENOSPC, "No space left on device"), ID)
    assert "disk is full" in str(error)
    assert "continues where it stopped" in error.hint


def test_the_same_model_is_not_downloaded_twice_at_once(
    files: dict[str, bytes], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _hub(monkeypatch, Repo(files, stall_after=3000)), hub.fetch(ID) as fetch:
        progress = fetch.progress()
        next(progress)
        assert "already being downloaded" in str(_refusal_of())
        progress.close()
