"""A process that has given up the network, other programs and large files has really done so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import asking
from core.cli import main
from tests.core.hostile.adapters import SPARSE, pickled, saved
from tests.core.hostile.cases import Place

PROBE = """
import ctypes, json, os, socket, sys
from core.engine.confine import Allowance, confine, give_up
confine()
told = {"sealed": give_up(Allowance(memory=2**28, seconds=30, file=2**20))}
def tried(what, attempt):
    try:
        attempt()
        told[what] = "done"
    except BaseException as error:
        told[what] = type(error).__name__
libc = ctypes.CDLL(None, use_errno=True)
tried("python socket", socket.socket)
tried("python program", lambda: os.system("true"))
tried("memory", lambda: bytearray(2**30))
told["raw socket"] = libc.socket(2, 1, 0)
told["raw program"] = libc.execve(b"/bin/true", None, None)
told["privileges"] = libc.prctl(39, 0, 0, 0, 0)
import resource
told["core"] = resource.getrlimit(resource.RLIMIT_CORE)
told["file"] = resource.getrlimit(resource.RLIMIT_FSIZE)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE], env=asking.engine_environment(), check=True,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel keeps the doors on Linux alone")
def test_the_kernel_refuses_sockets_and_programs(told: dict[str, Any]) -> None:
    assert told["sealed"] is True
    assert told["raw socket"] == told["raw program"] == -1
    assert told["privileges"] == 1, "the process could gain rights"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_python_refuses_them_too_and_limits_hold(told: dict[str, Any]) -> None:
    assert told["python socket"] == told["python program"] == "PermissionError"
    assert told["core"] == [0, 0]
    assert told["file"] == [2**20, 2**20]
    if sys.platform == "linux":
        assert told["memory"] == "MemoryError"


def test_the_terminal_tells_what_cannot_be_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pickled(lambda _: saved(SPARSE))(Place(tmp_path / "folder", tmp_path, tmp_path / "marker"))
    words = ["models", "convert", str(tmp_path / "folder"), "-o", str(tmp_path / "out")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "asks for sparse tensors" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
