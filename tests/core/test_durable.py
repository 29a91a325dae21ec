"""Folders that are whole or absent, whatever a crash leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core import durable


def sealed(parent: Path, name: str = "step-1", text: str = "weights") -> Path:
    final = parent / name
    with durable.staged(final) as aside:
        (aside / "inner").mkdir()
        (aside / "weights.bin").write_text(text, encoding="utf-8")
        (aside / "inner" / "state.bin").write_text("state", encoding="utf-8")
        durable.seal(aside, step=1)
    return final


def test_a_sealed_folder_verifies_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    final = sealed(tmp_path)
    assert durable.verify(final) is None
    assert durable.read_manifest(final)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_seal_counts_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert durable.seal(tmp_path) == 5


def test_an_error_while_filling_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with durable.staged(tmp_path / "step-1") as aside:
            (aside / "weights.bin").write_text("half", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_replacing_keeps_the_old(tmp_path: Path) -> None:
    final = sealed(tmp_path, text="old")
    with pytest.raises(RuntimeError), durable.staged(final):
        raise RuntimeError
    assert durable.verify(final) is None
    assert (final / "weights.bin").read_text(encoding="utf-8") == "old"


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    sealed(tmp_path, text="old")
    final = sealed(tmp_path, text="new")
    assert (final / "weights.bin").read_text(encoding="utf-8") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_a_killed_writer_leaves_only_what_sweep_removes(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from core import durable\n"
        "with durable.staged(Path(sys.argv[1]) / 'step-1') as aside:\n"
        "    (aside / 'weights.bin').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "step-1").exists()
    assert len(list(tmp_path.iterdir())) == 1
    durable.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.write_bytes(b"weightz"), "checksum differs"),
        (lambda f: f.write_bytes(b"weig"), "4 of 7 bytes"),
        (Path.unlink, "missing"),
        (lambda f: f.with_name("manifest.json").unlink(), "no readable manifest"),
        (lambda f: f.with_name("manifest.json").write_text("{"), "no readable manifest"),
        (lambda f: f.with_name("manifest.json").write_text("[]"), "no readable manifest"),
        (lambda f: f.with_name("manifest.json").write_text("{}"), "no readable manifest"),
        (lambda f: f.with_name("manifest.json").write_text('{"files": {}}'), "no readable"),
    ],
)
def test_damage_is_found(tmp_path: Path, damage: object, words: str) -> None:
    final = sealed(tmp_path)
    assert callable(damage)
    damage(final / "weights.bin")
    assert words in (durable.verify(final) or "")


def test_discard_and_sweep_touch_nothing_else(tmp_path: Path) -> None:
    final, other = sealed(tmp_path), sealed(tmp_path, "step-2")
    durable.discard(final)
    durable.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_a_small_file_is_replaced_in_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "control"
    durable.write_atomically(path, "old")
    durable.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["control"]
