"""The installer's judgement: what it refuses, reuses, looks for and explains."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "packaging" / "bootstrap.py"


@pytest.fixture
def bootstrap(tmp_path: Path) -> ModuleType:
    """The installer, working in a folder of its own."""
    spec = importlib.util.spec_from_file_location("bootstrap", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.VENV, module.STAMP = tmp_path / ".venv", tmp_path / ".venv" / "tunesmith.json"
    module.VENV.mkdir()
    return module


@pytest.mark.parametrize(
    ("version", "largest", "words"),
    [((3, 10), 2**63 - 1, "this is 3.10"), ((3, 12), 2**31 - 1, "in 32 bits")],
)
def test_a_python_that_cannot_run_it_is_refused(
    bootstrap: ModuleType, version: tuple[int, int], largest: int, words: str
) -> None:
    with pytest.raises(bootstrap.Trouble, match=words) as caught:
        bootstrap.check_python(version, largest)
    assert "newer Python" in caught.value.hint


@pytest.mark.parametrize("version", [(3, 11), (3, 13), (4, 0)])
def test_a_new_enough_python_is_taken(bootstrap: ModuleType, version: tuple[int, int]) -> None:
    bootstrap.check_python(version, 2**63 - 1)


def stamp(bootstrap: ModuleType, **changes: object) -> None:
    good = {"digest": bootstrap.digest(), "extras": ["gui", "engine"]}
    bootstrap.STAMP.write_text(json.dumps(good | changes), encoding="utf-8")


def test_a_finished_environment_is_used_again(bootstrap: ModuleType) -> None:
    stamp(bootstrap)
    assert bootstrap.is_ready(("gui", "engine"))
    assert not bootstrap.is_ready(("gui", "engine", "test"))


def test_an_environment_of_other_versions_is_not(bootstrap: ModuleType) -> None:
    stamp(bootstrap, digest="other")
    assert not bootstrap.is_ready(("gui",))


@pytest.mark.parametrize("text", [None, "", "{", "[]", '"x"'])
def test_a_half_made_environment_is_not(bootstrap: ModuleType, text: str | None) -> None:
    if text is not None:
        bootstrap.STAMP.write_text(text, encoding="utf-8")
    assert not bootstrap.is_ready(("gui",))


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_the_stamp_follows_both_files(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for file in ("constraints.txt", "pyproject.toml"):
        (tmp_path / file).write_text("old", encoding="utf-8")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "CONSTRAINTS", tmp_path / "constraints.txt")
    before = bootstrap.digest()
    assert before == bootstrap.digest()
    (tmp_path / name).write_text("new", encoding="utf-8")
    assert before != bootstrap.digest()


@pytest.mark.parametrize(
    ("output", "what"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full."),
        ("NewConnectionError: Failed to establish a new connection", "cannot be reached"),
        ("[Errno -3] Temporary failure in name resolution", "cannot be reached"),
        ("CERTIFICATE_VERIFY_FAILED", "does not trust"),
        ("ERROR: Could not install: [Errno 13] Permission denied: 'x'", "cannot be written"),
        ("ERROR: No matching distribution found for torch==2.13.0", "does not exist for this"),
        ("one\ntwo\n\nwheel exploded", "one two wheel exploded"),
    ],
)
def test_what_pip_complains_about_is_explained(
    bootstrap: ModuleType, output: str, what: str
) -> None:
    trouble = bootstrap.explain(output)
    assert what in str(trouble)
    assert "install.log" in trouble.hint


@pytest.mark.parametrize(
    ("system", "environment", "shown"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("win32", {}, True),
        ("darwin", {}, True),
    ],
)
def test_a_window_needs_a_display(
    bootstrap: ModuleType, system: str, environment: dict[str, str], shown: bool
) -> None:
    assert bootstrap.has_display(system, environment) is shown


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lacks libraries")
def test_libraries_are_tried_by_loading_them(bootstrap: ModuleType) -> None:
    assert bootstrap.missing_libraries(["libc.so.6", "libnowhere.so.1"]) == ["libnowhere.so.1"]


@pytest.mark.parametrize("tool", ["apt-get", "dnf", "pacman", None])
def test_the_packages_are_named_for_the_tool_there_is(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str | None
) -> None:
    if tool:
        (tmp_path / tool).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = bootstrap.how_to_install([bootstrap.SCREEN["libxcb-cursor.so.0"]])
    names = {"apt-get": "libxcb-cursor0", "dnf": "xcb-util-cursor", "pacman": "xcb-util-cursor"}
    assert names.get(tool or "", "libxcb-cursor0") in said
    assert said.startswith(f"sudo {tool}" if tool else "Install the packages")


@pytest.mark.parametrize(
    ("system", "card", "index", "words"),
    [
        ("win32", True, None, "--torch-index"),
        ("linux", True, None, "installing PyTorch for it"),
        ("linux", False, None, "on the processor"),
        ("darwin", False, None, "on the processor"),
        ("win32", True, "somewhere", "from somewhere"),
    ],
)
def test_the_build_of_torch_is_explained(
    bootstrap: ModuleType, system: str, card: bool, index: str | None, words: str
) -> None:
    assert words in bootstrap.advice(system, card=card, index=index)


def test_words_behind_the_dashes_are_passed_on(bootstrap: ModuleType) -> None:
    assert bootstrap.split_words(["test", "--", "-k", "x"]) == (["test"], ["-k", "x"])
    assert bootstrap.split_words(["start"]) == (["start"], [])


def test_it_needs_nothing_but_python() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SOURCE), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--recreate" in done.stdout


def required() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    every = [Requirement(line) for line in sum(extras, project["dependencies"])]
    return [r for r in every if r.marker is None or r.marker.evaluate()]


def pins() -> dict[str, str]:
    """Exact versions by normalised name."""
    text = (ROOT / "packaging" / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in (line.split("==") for line in lines)
    }


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    for requirement in required():
        version = pins()[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(version), requirement
        assert "+" not in version, "a local build cannot be had everywhere"
