"""A run is a directory: made, opened, locked, asked, listed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import durable
from core.errors import RunError
from core.events import Finished, Started, Step, encode
from core.recipe import Recipe
from core.rundir import FORMAT, NEWER, RunDir, list_runs, new_root, summarise


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "runs" / "one", Recipe(name="One"), "{}")


def say(run: RunDir, *lines: bytes) -> None:
    with run.events_file.open("ab") as file:
        file.writelines(lines)


def save(run: RunDir, step: int) -> Path:
    folder = run.checkpoint(step)
    with durable.staged(folder) as aside:
        (aside / "weights.bin").write_bytes(b"weights")
        durable.seal(aside)
    return folder


def test_a_new_run_opens_again(run: RunDir) -> None:
    opened = RunDir.open(run.root)
    assert opened == run
    assert opened.load_recipe() == Recipe(name="One")
    assert opened.history().state == "waiting"
    assert not opened.is_running()


def test_a_taken_folder_is_refused(run: RunDir) -> None:
    with pytest.raises(RunError, match="not empty"):
        RunDir.create(run.root, Recipe(), "{}")


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunError, match="Cannot write a run"):
        RunDir.create(tmp_path / "file" / "run", Recipe(), "{}")


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        RunDir.open(tmp_path)


def test_a_torn_last_line_and_unknown_kinds_are_skipped(run: RunDir) -> None:
    say(run, encode(Started(pid=1)), b'{"kind":"newer"}\n', encode(Step(step=1, total=2, loss=1)))
    say(run, b'{"kind":"step","st')
    assert [event.kind for event in run.events()] == ["started", "step"]


def test_wishes_grow_and_survive_damage(run: RunDir) -> None:
    assert run.control().command == "none"
    run.ask("pause")
    run.ask("stop")
    assert (run.control().command, run.control().serial) == ("stop", 2)
    run.control_file.write_bytes(b"{")
    assert run.control().command == "none"


def test_the_lock_is_seen_from_another_process_and_freed_by_its_death(run: RunDir) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from core.rundir import RunDir\n"
        "with RunDir(Path(sys.argv[1])).lock().acquire(): print('held', flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"held"
        assert run.is_running()
        child.kill()
    assert not run.is_running()


def test_the_newest_checkpoint_that_verifies_is_taken(run: RunDir) -> None:
    save(run, 10)
    (save(run, 20) / "weights.bin").write_bytes(b"weightz")
    (run.checkpoints / "notes").mkdir()
    assert run.saved_steps() == [20, 10]
    step, faults = run.newest_valid()
    assert step == 10
    assert faults == ["step-00000020/weights.bin: checksum differs"]


def test_without_checkpoints_there_is_none(run: RunDir) -> None:
    assert run.newest_valid() == (None, [])


@pytest.mark.parametrize(
    ("name", "tail"),
    [("My run!", "_My-run"), ("../../etc", "_etc"), ("日本", "_run"), ("a" * 200, "_" + "a" * 60)],
)
def test_a_free_folder_has_a_safe_name(tmp_path: Path, name: str, tail: str) -> None:
    root = new_root(tmp_path, name)
    assert root.parent == tmp_path
    assert root.name.endswith(tail)


def test_two_runs_in_one_second_get_two_folders(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        root = new_root(tmp_path, "x")
        root.mkdir()
        names.add(root)
    assert len(names) == 3


def test_runs_are_listed_newest_first_with_their_outcome(run: RunDir) -> None:
    say(run, encode(Started(pid=1)), encode(Step(step=2, total=9, loss=1)))
    other = RunDir.create(run.root.parent / "two", Recipe(name="Two"), "{}")
    say(other, encode(Step(step=9, total=9, loss=1)), encode(Finished(step=9)))
    (run.root.parent / "no-run").mkdir()
    found = list_runs(run.root.parent)
    assert [(r.name, r.outcome, r.step, r.total) for r in found] == [
        ("Two", "finished", 9, 9),
        ("One", "interrupted", 2, 9),
    ]


def test_a_damaged_run_is_listed_with_its_damage(run: RunDir) -> None:
    say(run, b"rubbish\n")
    run.recipe_file.write_text("[", encoding="utf-8")
    summary = summarise(run)
    assert summary.outcome == "failed"
    assert "damaged event line" in summary.text


def test_a_run_of_a_newer_version_is_refused_and_listed(run: RunDir) -> None:
    before = run.about_file.read_bytes()
    run.about_file.write_text(json.dumps({"format": FORMAT + 1, "moon": "full"}), encoding="utf-8")
    newer = run.about_file.read_bytes()
    with pytest.raises(RunError, match="was made by a newer version of Tunesmith") as refused:
        RunDir.open(run.root)
    assert refused.value.hint == "Update Tunesmith to open it."
    (summary,) = list_runs(run.root.parent)
    assert (summary.outcome, summary.text) == ("failed", f"one {NEWER}")
    assert run.about_file.read_bytes() == newer, "and nothing is changed in it"
    run.about_file.write_bytes(before)
    assert RunDir.open(run.root) == run


@pytest.mark.parametrize("about", [None, "{}", '{"format": 1, "moon": "full"}', "["])
def test_a_run_of_an_older_version_opens(run: RunDir, about: str | None) -> None:
    """The first ones had no such file."""
    run.about_file.unlink()
    if about is not None:
        run.about_file.write_text(about, encoding="utf-8")
    assert RunDir.open(run.root).load_recipe() == Recipe(name="One")


def test_a_checkpoint_of_a_newer_version_is_passed_over_by_name_and_left_alone(
    run: RunDir,
) -> None:
    save(run, 10)
    path = save(run, 20) / durable.MANIFEST
    newer = json.loads(path.read_text(encoding="utf-8")) | {"format": 2}
    path.write_text(json.dumps(newer), encoding="utf-8")
    step, (fault,) = run.newest_valid()
    assert step == 10
    assert fault == "step-00000020: made by a newer version of Tunesmith; update to use it"
    assert json.loads(path.read_text(encoding="utf-8")) == newer


@pytest.mark.parametrize("with_sum", [True, False])
def test_facts_that_this_version_does_not_know_are_kept(run: RunDir, with_sum: bool) -> None:
    folder = run.checkpoint(10)
    with durable.staged(folder) as aside:
        (aside / "weights.bin").write_bytes(b"weights")
        durable.seal(aside, moon="full")
    manifest = json.loads((folder / durable.MANIFEST).read_text(encoding="utf-8"))
    if not with_sum:  # as the first versions wrote it
        del manifest["sum"]
        (folder / durable.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert run.newest_valid() == (10, [])
    assert durable.read_manifest(folder)["moon"] == "full"


def test_no_runs_where_there_is_no_folder(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_without_permission_is_refused_in_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        RunDir.create(tmp_path / "run", Recipe(), "{}")
