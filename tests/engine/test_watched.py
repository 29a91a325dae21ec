"""The three processes as they are really started: what they hold, what they reach, what they keep.

Each is watched from outside: /proc, psutil, and in the slow test strace.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from core import hub, launch
from core.events import Step
from core.history import History
from core.offline import HUB_VARIABLE, SILENCE, VARIABLE, switch
from core.places import data_home, models_home, runs_home
from core.recipe import Recipe
from core.rundir import RunDir
from tests.core.hub_server import Repo, serve
from tests.core.model_folders import write_model
from tests.engine.conftest import plan_of

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
ROOT = Path(launch.__file__).parents[1]
ENVIRONMENT = "hf_environment0123456789abcdefgh"
STORE = "hf_store0123456789abcdefghijklmn"
KEY = "sk-proj-0123456789abcdefghijklmn"
SECRETS = (ENVIRONMENT, STORE, KEY, "proxypassword")


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever a secret may be."""
    for name in (HUB_VARIABLE, VARIABLE, "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(STORE)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", ENVIRONMENT)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("TUNESMITH_API_KEY", KEY)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:proxypassword@127.0.0.1:9")


def _hits(folder: Path) -> list[str]:
    """Files below a folder that hold a secret; the store itself may."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path != folder / "hf" / "token":
            content = path.read_bytes()
            found += [f"{path}: {one}" for one in SECRETS if one.encode() in content]
    return found


class Seen:
    """What a process shows of itself while it works."""

    def __init__(self, pid: int) -> None:
        process = Path(f"/proc/{pid}")
        self.environment = (process / "environ").read_bytes()
        self.words = (process / "cmdline").read_bytes()
        self.folder = (process / "cwd").readlink()
        self.input = (process / "fd/0").readlink()
        self.filtered = "Seccomp:\t2" in (process / "status").read_text()
        alive = psutil.Process(pid)
        self.sockets = [one for one in alive.net_connections("inet") if one.pid in (None, pid)]


def _trap(folder: Path) -> Path:
    """A folder that hijacks whoever imports from where it works."""
    trap = folder / "trap"
    trap.mkdir()
    for name in ("yaml", "sitecustomize", "usercustomize", "torch", "transformers", "core"):
        (trap / f"{name}.py").write_text(f"open({str(folder / 'marker')!r}, 'w')\n")
    return trap


def _train(root: Path, recipe: Recipe) -> tuple[History, Seen]:
    """A whole run of the real engine, looked at in its first step."""
    seen, story = None, History()
    with launch.start(root, recipe, plan_of(recipe)) as engine:
        for batch in launch.follow(engine.run, engine.alive):
            for event in batch:
                story.apply(event)
                if isinstance(event, Step) and seen is None:
                    seen = Seen(engine.pid)
    assert seen is not None
    return story, seen


def test_the_engine_holds_no_secret_listens_to_nobody_and_is_not_hijacked(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_trap(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":")
    story, seen = _train(tmp_path / "run", recipe.edit("training.max_steps", 3))
    assert story.state == "finished"
    for secret in SECRETS:
        assert secret.encode() not in seen.environment + seen.words
    assert b"PYTHONPATH" not in seen.environment
    for name, value in SILENCE.items():
        assert f"{name}={value}".encode() in seen.environment
    assert (seen.folder, seen.input) == (tmp_path / "run", Path("/dev/null"))
    assert seen.sockets == []
    assert seen.filtered
    assert not [event for event in story.warnings if event.code == "network-refused"]
    assert not (tmp_path / "marker").exists()
    assert _hits(tmp_path) == []


_FLOW = """
import json, os, sys, time
from pathlib import Path
from PySide6.QtWidgets import QApplication
from core import hub
from core.errors import HubError
from gui import app, messages
from gui.hub_card import HubCard
from gui.offline import switch

def until(ready, patience=1200):
    end = time.monotonic() + patience
    while not ready():
        assert time.monotonic() < end, "nothing came in time"
        QApplication.processEvents()
        time.sleep(0.01)

app.make_application()
switch().close_window()
window = app.make_window(app.Options(recipe=Path(sys.argv[1])))
window.show()
until(lambda: window.settled)
card = window.page("Model").findChild(HubCard)
card.text.setText("maker/tiny")
card.search()
until(lambda: card._search is None)
card.download()
until(lambda: not card.fetching.busy)
refused = []
for ask in (lambda: hub.search("tiny"), lambda: hub.shape("maker/tiny")):
    try:
        ask()
    except HubError as error:
        refused.append(str(error))
messages.Net(messages.log_file()).write("ValueError: no " + os.environ["HF_TOKEN"])
window.show_page("Review")
if sys.argv[2] == "train":
    until(lambda: window.session.plan.ready)
    window.go_forward()
    until(lambda: window.runner.run is not None)
    until(lambda: not window.runner.alive())
    until(lambda: window.runner.outcome().state == "finished")
print(json.dumps(refused), flush=True)
os._exit(0)
"""


def _flow(tmp_path: Path, recipe: Recipe, *, train: bool) -> tuple[list[str], list[str]]:
    """The window, what it fetches and a run it starts, all watched by strace: what was refused,
    and the calls that concern the network."""
    chosen = recipe.edit("training.max_steps", 2).edit("checks.every", 1)
    (tmp_path / "recipe.yaml").write_text(chosen.to_yaml())
    calls = tmp_path / "calls"
    done = subprocess.run(
        [
            "strace", "-f", "--seccomp-bpf", "-o", str(calls),
            "-e", "trace=connect,sendto,sendmsg,sendmmsg,bind,listen",
            sys.executable, "-c", _FLOW, str(tmp_path / "recipe.yaml"),
            "train" if train else "",
        ],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
    refused = json.loads(done.stdout.splitlines()[-1])
    seen = [
        line for line in calls.read_text().splitlines() if "AF_INET" in line or "listen(" in line
    ]
    calls.unlink()
    return refused, seen


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace watches")
def test_nothing_leaves_the_computer_with_the_switch_on_and_no_secret_is_written(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path / "origin")
    repo = Repo({path.name: path.read_bytes() for path in model.iterdir()}, gated=True)
    with serve({"maker/tiny": repo}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        switch(True)
        refused, calls = _flow(tmp_path, recipe, train=True)
        assert calls == []
        assert len(refused) == 2
        assert not running.tokens
        (run,) = (RunDir.open(root) for root in runs_home().iterdir())
        assert run.history().state == "finished"

        switch(False)
        refused, calls = _flow(tmp_path, recipe, train=False)
        assert refused == []
        port = f"sin_port=htons({running.url.rpartition(':')[2]})"
        assert [line for line in calls if "connect(" in line and port in line]
        assert [line for line in calls if port not in line] == []
        assert f"Bearer {ENVIRONMENT}" in running.tokens

        monkeypatch.delenv("HF_TOKEN")
        (models_home() / "maker--tiny").rename(tmp_path / "moved")
        with hub.fetch("maker/tiny") as fetch:
            list(fetch.progress())
        assert f"Bearer {STORE}" in running.tokens
    assert _hits(tmp_path) == []
    assert "[secret]" in (data_home() / "window.log").read_text()
