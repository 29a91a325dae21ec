"""Who may reach the network, and that the switch keeps everything here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core import cli, hub, offline, redaction
from core.asking import engine_environment
from core.errors import CoreError, HubError
from core.making.job import Job, Making
from core.making.order import Order
from core.making.source import Source, open_writer
from core.offline import HUB_VARIABLE, SILENCE, VARIABLE
from tests.core.hub_server import Hub, Repo, serve

ROOT = Path(cli.__file__).parents[1]
ID = "maker/tiny"
FILES = {"config.json": b"{}", "model.safetensors": bytes(3 << 20)}
LINUX = sys.platform == "linux"


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (VARIABLE, HUB_VARIABLE, "HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@contextmanager
def _hub(monkeypatch: pytest.MonkeyPatch, **looks: float) -> Iterator[Hub]:
    with serve({ID: Repo(FILES, **looks)}) as running:  # type: ignore[arg-type]
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def _python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


_ENGINE = """
import sys, urllib.request
from pathlib import Path
from core import reach
from core.engine.emit import Voice
from core.events import Phase
from core.recipe import Recipe
from core.rundir import RunDir
run = RunDir.create(Path(sys.argv[1]), Recipe(), "{}")
reach.guard(lambda: True)
voice = Voice(run)
for _ in range(2):
    try:
        urllib.request.urlopen("https://hub.example/x")
    except OSError:
        pass
    voice.phase("training")
voice.close()
"""


def test_what_asks_for_the_network_in_an_engine_is_an_event(tmp_path: Path) -> None:
    done = _python(_ENGINE, str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    events = [
        json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    ]
    assert [one["kind"] for one in events] == ["warned", "phase", "phase"]
    assert [one["seq"] for one in events] == [1, 2, 3]
    told = "Training has no network: __main__ asked for hub.example; nothing was sent."
    assert (events[0]["code"], events[0]["text"]) == ("network-refused", told)


_WAYS = """
import asyncio, json, socket, sys, urllib.request
from core import reach
port, shut = int(sys.argv[1]), sys.argv[2] == "shut"
reach.guard(lambda: shut)
socket.socketpair()
def sends():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", port))
def listens():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
def connects():
    with socket.socket() as one:
        one.connect(("127.0.0.1", port))
async def waits():
    _, out = await asyncio.open_connection("127.0.0.1", port)
    out.close()
ways = {
    "asks": lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/api/models?search=x&limit=1"),
    "connects": connects, "sends": sends, "listens": listens,
    "names": lambda: socket.getaddrinfo("localhost", port), "waits": lambda: asyncio.run(waits()),
}
refused = []
for name, way in ways.items():
    try:
        way()
    except OSError as error:
        refused.append(name)
print(json.dumps([refused, [str(one) for one in reach.attempts()]]))
"""


def test_the_gate_lets_nothing_out_by_whichever_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with _hub(monkeypatch) as running:
        port = running.url.rpartition(":")[2]
        shut = json.loads(_python(_WAYS, port, "shut").stdout)
        assert running.queries == []
        open_ = json.loads(_python(_WAYS, port, "open").stdout)
        assert len(running.queries) == 1
    assert shut[0] == ["asks", "connects", "sends", "listens", "names", "waits"]
    assert shut[1] == [
        f"__main__ asked for {host}; nothing was sent." for host in ("127.0.0.1", "localhost")
    ]
    assert open_ == [[], []]


@pytest.mark.skipif(not LINUX, reason="asks the kernel")
def test_the_kernel_refuses_what_python_does_not_see() -> None:
    code = (
        "import ctypes, os, socket, subprocess, sys; from core.engine.confine import no_network\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "told = [libc.socket(2, 1, 0) >= 0]\n"
        "assert no_network()\n"
        "told += [libc.socket(family, 1, 0) for family in (2, 10)]\n"
        "child = subprocess.run([sys.executable, '-c', 'import socket; socket.socket()'],"
        " stdin=subprocess.DEVNULL, capture_output=True)\n"
        "print(told, child.returncode, len(socket.socketpair()), libc.socket(16, 3, 0) > 0)"
    )
    assert _python(code).stdout == "[True, -1, -1] 1 2 True\n"


def test_the_switch_closes_every_feature_and_no_packet_leaves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    commands = (
        ["fetch", ID], ["fetch", "hub:maker/rows"], ["plan", "--model", ID, "--gpu", "RTX 4090"],
    )  # fmt: skip
    with _hub(monkeypatch) as running:
        for command in commands:
            assert cli.main([*command, "--offline"]) == 2
            assert "is not possible: Tunesmith is offline" in capsys.readouterr().err
        offline.switch(True)
        for ask in (lambda: hub.search("tiny"), lambda: hub.shape(ID)):
            with pytest.raises(HubError, match=r"offline \(the switch\)") as caught:
                ask()
            assert "tunesmith offline off" in caught.value.hint
        assert not running.tokens, "something was asked"
        offline.switch(False)
        assert [found.model_id for found in hub.search("tiny")] == [ID]
        assert running.tokens, "the observer sees nothing"


def test_a_download_stops_when_the_switch_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    def turn_in_the_middle(fetch: hub.Fetch) -> None:
        for at in fetch.progress():
            if at.file == "model.safetensors":
                offline.switch(True)

    with _hub(monkeypatch, pace=1.0) as running, hub.fetch(ID) as fetch:
        with pytest.raises(HubError, match="offline"):
            turn_in_the_middle(fetch)
        assert len(running.asked("model.safetensors")) == 1
    assert sum(sent for _, _, sent in running.sent) < len(FILES["model.safetensors"])


def test_writers_elsewhere_are_refused_and_those_here_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"prompt": "a", "completion": "b"}\n' * 3)
    order = Order(seeds=seeds, output=tmp_path / "out.jsonl", rows=1)
    monkeypatch.setenv(VARIABLE, "1")
    far = Source(endpoint="https://models.example/v1", remote_model="m")
    with pytest.raises(CoreError, match=r"Asking models\.example for rows is not possible"):
        list(Making(Job(order=order, source=far)).progress())
    open_writer(Source(endpoint="http://localhost:1/v1", remote_model="m"), order)


def test_the_switch_is_remembered_and_doubt_closes(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    def told(*words: str) -> dict[str, object]:
        assert cli.main(["offline", *words, "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    assert told()["offline"] is False
    assert told("on") == {"offline": True, "because": "the switch", "switch": True}
    assert offline.wanted()
    assert told("off")["offline"] is False
    (home / "network.json").write_text("{")
    assert offline.wanted()


@pytest.mark.parametrize(
    ("variable", "switch", "wanted"),
    [("1", False, True), ("0", True, False), ("", True, True), ("yes", False, True)],
)
def test_the_variable_wins_over_the_switch(
    variable: str, switch: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline.switch(switch)
    monkeypatch.setenv(VARIABLE, variable)
    assert offline.wanted() is wanted
    assert offline.forced() is bool(variable)


def test_offline_for_one_command_ends_with_it() -> None:
    with offline.held(True):
        assert os.environ[VARIABLE] == "1"
    assert VARIABLE not in os.environ


def test_no_process_is_counted_and_each_has_only_its_own_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = (*redaction.HUB_SECRETS, *redaction.SERVER_SECRETS)
    for name in secrets:
        monkeypatch.setenv(name, "secret-of-its-own")
    given: list[dict[str, str]] = [engine_environment()]
    monkeypatch.setattr("core.hub.Child", lambda command, environment: given.append(environment))
    monkeypatch.setattr(
        "core.making.job.Child", lambda command, environment: given.append(environment)
    )
    hub.Fetch("get", ID)
    order = Order(seeds=tmp_path / "a", output=tmp_path / "b")
    Making(Job(order=order, source=Source(model="starter")))
    engine, fetch, making = given
    for one in given:
        assert {name: one[name] for name in SILENCE} == SILENCE
    assert not set(secrets) & set(engine)
    assert {name for name in secrets if name in fetch} == set(redaction.HUB_SECRETS)
    assert {name for name in secrets if name in making} == set(redaction.SERVER_SECRETS)


def test_the_engine_finds_no_token_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_stored0123456789")
    code = "from huggingface_hub import get_token; print(get_token())"
    for environment, found in ((None, "hf_stored0123456789"), (engine_environment(), "None")):
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=True, env=environment,
        )  # fmt: skip
        assert done.stdout.strip() == found


def test_the_fetch_process_is_light_and_no_folder_hijacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with modules of its own, where somebody starts the program."""
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("yaml", "sitecustomize", "usercustomize", "filelock", "core"):
        (trap / f"{name}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\n")
    monkeypatch.chdir(trap)
    monkeypatch.setenv("PYTHONPATH", f":{trap}")
    with _hub(monkeypatch), hub.fetch(ID) as fetch:
        list(fetch.progress())
    assert fetch.folder is not None
    assert not (tmp_path / "marker").exists()
    code = "import sys, core.fetch; print('torch' in sys.modules, 'transformers' in sys.modules)"
    monkeypatch.delenv("PYTHONPATH")
    assert _python(code).stdout == "False False\n"


def test_a_token_is_found_in_the_environment_the_keyring_or_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keyring is a stand-in package, as the real one asks the system."""
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_stored")
    package = tmp_path / "packages" / "keyring"
    package.mkdir(parents=True)
    (package / "errors.py").write_text("class KeyringError(Exception): ...\n")
    (package / "__init__.py").write_text(
        "def get_password(service, user):\n"
        "    return {'tunesmith huggingface.co': 'hf_kept'}.get(f'{service} {user}')\n"
    )
    code = "from core.fetch import _token; print(_token())"
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert _python(code).stdout == "hf_stored\n"
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    assert _python(code).stdout == "hf_kept\n"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert _python(code).stdout == "hf_stored\n"
    monkeypatch.setenv("HF_TOKEN", "hf_given")
    assert _python(code).stdout == "hf_given\n"
