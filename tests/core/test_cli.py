"""The terminal contract: exit statuses, one JSON document, and refusals a user can act on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core import cli, commands, launch
from core.errors import CoreError, RunError
from core.events import Answer, Finished, Saved, Scored, Started, Step, encode
from core.machine import Gpu
from core.memory.measured import Measured
from core.plan import Plan
from core.recipe import Recipe, load, parse
from core.rundir import RunDir
from core.terminal import plain, side_by_side, table
from core.tokens import Preview, guess

ROWS = [{"prompt": f"{n} + {n}?", "completion": str(2 * n)} for n in range(60)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def recipe(tmp_path: Path, data: Path) -> Path:
    chosen = parse({"name": "sums", "data": {"path": data.name}, "training": {"device": "cpu"}})
    path = tmp_path / "recipe.yaml"
    path.write_text(chosen.to_yaml(), encoding="utf-8")
    return path


@pytest.fixture
def run(home: Path) -> RunDir:
    """A run that was stopped half way, with a score from before."""
    made = RunDir.create(home / "runs" / "one", Recipe(name="one"), "{}")
    with made.events_file.open("ab") as file:
        file.write(encode(Started(pid=1)))
        file.write(encode(Scored(when="before", loss=3, exact_match=0.25, rows=4)))
        file.write(encode(Step(step=5, total=10, loss=2, seconds=9)))
        file.write(encode(Saved(step=5, path="checkpoints/step-00000005")))
        file.write(encode(Finished(step=5, stopped=True)))
    return made


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(list(words))
    out, err = capsys.readouterr()
    return status, out, err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The one JSON document of a command that succeeds."""
    status, out, err = call(capsys, *words, "--json")
    assert status == 0, err
    return json.loads(out)


def change(recipe: Path, path: str, value: object) -> None:
    recipe.write_text(load(recipe).edit(path, value).to_yaml(), encoding="utf-8")


# ---- bad input -----------------------------------------------------------------------------------


def _no_such_model(recipe: Path) -> None:
    change(recipe, "model", "./no-model")


def _empty_model(recipe: Path) -> None:
    recipe.with_name("hollow").mkdir()
    change(recipe, "model", "hollow")


def _gguf_model(recipe: Path) -> None:
    recipe.with_name("tiny.gguf").write_bytes(b"GGUF" + bytes(64))
    change(recipe, "model", "./tiny.gguf")


def _unknown_hub_id(recipe: Path) -> None:
    change(recipe, "model", "nobody/nothing")


def _unknown_key(recipe: Path) -> None:
    recipe.write_text("training: {learning_rat: 1e-4}\n", encoding="utf-8")


def _bad_yaml(recipe: Path) -> None:
    recipe.write_text("name: [open\n", encoding="utf-8")


def _no_recipe(recipe: Path) -> None:
    recipe.unlink()


def _no_data(recipe: Path) -> None:
    recipe.with_name("sums.jsonl").unlink()


def _empty_data(recipe: Path) -> None:
    recipe.with_name("sums.jsonl").write_text("", encoding="utf-8")


def _broken_line(recipe: Path) -> None:
    recipe.with_name("sums.jsonl").write_text('{"prompt": "a"}\n{"prompt": \n', encoding="utf-8")


def _wrong_columns(recipe: Path) -> None:
    recipe.with_name("sums.jsonl").write_text('{"colour": "red", "n": 1}\n', encoding="utf-8")


def _no_data_chosen(recipe: Path) -> None:
    change(recipe, "data.path", "")


BAD = [
    (_no_such_model, ["no-model"]),
    (_empty_model, ["hollow", "config.json"]),
    (_gguf_model, ["tiny.gguf", "GGUF"]),
    (_unknown_hub_id, ["nobody/nothing", "not on this computer"]),
    (_unknown_key, ["training.learning_rat", "did you mean training.learning_rate?"]),
    (_bad_yaml, ["recipe.yaml:2:1"]),
    (_no_recipe, ["recipe.yaml", "No such file"]),
    (_no_data, ["sums.jsonl"]),
    (_empty_data, ["sums.jsonl", "is empty"]),
    (_broken_line, ["sums.jsonl", "line 2"]),
    (_wrong_columns, ["sums.jsonl", "'colour'"]),
]


@pytest.mark.parametrize("command", ["check", "plan", "run"])
@pytest.mark.parametrize(("spoil", "words"), BAD, ids=[spoil.__name__ for spoil, _ in BAD])
def test_bad_input_is_named_with_a_way_out(
    capsys: pytest.CaptureFixture[str], recipe: Path, command: str, spoil: Any, words: list[str]
) -> None:
    spoil(recipe)
    status, out, err = call(capsys, command, str(recipe), "--fast")
    assert status == 2
    assert err.startswith("error: ")
    assert "\nhint: " in err
    assert "Traceback" not in err
    assert out == ""
    for word in words:
        assert word in err


def test_a_refusal_is_one_json_document_too(
    capsys: pytest.CaptureFixture[str], recipe: Path
) -> None:
    _broken_line(recipe)
    status, out, err = call(capsys, "run", str(recipe), "--json")
    assert status == 2
    assert set(json.loads(out)) == {"error", "hint"}
    assert err.startswith("error: ")


def test_a_run_without_data_is_refused(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    _no_data_chosen(recipe)
    status, _, err = call(capsys, "run", str(recipe), "--fast")
    assert status == 2
    assert "data.path: No dataset is chosen." in err


def test_an_output_folder_that_cannot_be_written_is_refused(
    capsys: pytest.CaptureFixture[str], recipe: Path, data: Path
) -> None:
    status, _, err = call(capsys, "run", str(recipe), "--fast", "--out", str(data / "below"))
    assert status == 2
    assert "Cannot write a run" in err
    assert "hint: Choose another folder" in err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["check"],
        ["run"],
        ["run", "a.yaml", "--resume", "b"],
        ["plan"],
        ["plan", "a.yaml", "--model", "starter"],
        ["plan", "--model", "starter", "--adapt", "magic"],
        ["plan", "--model", "starter", "--seq-len", "many"],
        ["plan", "--model", "starter", "--measure"],
        ["plan", "--model", "starter", "--micro-batch", "0"],
        ["new", "--example", "unheard-of"],
        ["runs", "no-such-folder"],
        ["follow", "no-such-run"],
        ["stop", "no-such-run"],
        ["run", "--resume", "no-such-run"],
        ["fetch", "nobody/nothing"],
    ],
    ids=" ".join,
)
def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    status, out, err = call(capsys, *words)
    assert status == 2
    assert err.startswith("error: ") or "\nerror: " in err
    assert "hint: " in err
    assert "Traceback" not in out + err


def test_a_fault_of_ours_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(cli.TABLE, "runs", (broken, *cli.TABLE["runs"][1:]))
    status, _, err = call(capsys, "runs")
    assert status == 2
    assert "core.test_cli:" in err or "test_cli:" in err
    assert "Traceback" not in err


# ---- what works ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["--help", *cli.SUBCOMMANDS])
def test_everything_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    words = [command] if command == "--help" else [command, "--help"]
    status, out, _ = call(capsys, *words)
    assert status == 0
    assert "usage: tunesmith" in out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "--version")
    assert (status, out.split()[0]) == (0, "tunesmith")


def test_a_new_recipe_is_valid_and_never_overwrites(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "new.yaml"
    assert call(capsys, "new", "-o", str(path))[0] == 0
    assert load(path) == Recipe()
    status, _, err = call(capsys, "new", "--example", "tickets", "-o", str(path))
    assert (status, "exists already" in err) == (2, True)
    assert load(path) == Recipe()


def test_a_new_recipe_needs_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = call(capsys, "new", "-o", str(tmp_path / "no" / "new.yaml"))
    assert status == 2
    assert "Cannot write" in err


def test_the_example_is_the_demo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = call(capsys, "new", "--example", "tickets")
    assert status == 0
    path = tmp_path / "shown.yaml"
    path.write_text(out, encoding="utf-8")
    assert load(path) == load(commands.example("tickets"))


def test_the_demo_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "check", str(commands.example("tickets")), "--fast")
    assert found["ready"]
    assert found["data"]["rows"] > found["data"]["unusable"]
    assert not [p for p in found["problems"] if p["level"] != "tip"]


def test_check_tells_of_data_and_problems(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    change(recipe, "training.learning_rate", 0.9)
    status, out, _ = call(capsys, "check", str(recipe), "--fast")
    assert status == 0
    assert "60 rows" in out
    assert "the loss may explode. Fix: Use " in out
    problems = document(capsys, "check", str(recipe), "--fast")["problems"]
    assert problems[0]["fix"]["path"] == "training.learning_rate"


def test_plan_tells_steps_and_memory(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    found = document(capsys, "plan", str(recipe), "--fast")
    assert found["steps"] == found["settings"]["steps"] > 0
    memory = found["memory"]
    assert memory["total_bytes"] == sum(item["bytes"] for item in memory["items"])
    assert memory["method"] == "closed-form"
    assert found["fits"]
    status, out, _ = call(capsys, "plan", str(recipe), "--fast")
    assert status == 0
    assert "Chosen automatically:" in out


def test_a_plan_that_was_tried_and_does_not_fit_tells_the_way_out(
    capsys: pytest.CaptureFixture[str], recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Measured(
        fits=False, failure="The computer ran out of memory.", reached="in trial step 2 of 5",
        device="x", cuda=False, adaptation="lora", limit_bytes=10**9,
    )  # fmt: skip
    monkeypatch.setattr(launch, "measure", lambda *_, **__: lost)
    change(recipe, "training.micro_batch", 32)
    status, out, _ = call(capsys, "plan", str(recipe), "--fast", "--measure")
    assert status == 0
    assert "memory ran out in trial step 2 of 5." in out
    assert "Fix: Batch 32 to 16" in out
    found = document(capsys, "plan", str(recipe), "--fast", "--measure")
    assert found["fits"] is found["measured"]["fits"] is False
    assert found["memory"]["method"] == "closed-form"
    assert found["measured"]["eta_seconds"] is None
    assert "Batch 32 to 16" in found["measured"]["hint"]


def test_what_cannot_run_is_not_tried(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    change(recipe, "training.max_length", 100_000)
    status, _, err = call(capsys, "plan", str(recipe), "--fast", "--measure")
    assert status == 2
    assert "reads at most" in err
    assert "ready" in err


@pytest.mark.parametrize(
    ("device", "words", "measured"),
    [
        ("cuda", [], True), ("cuda", ["--fast"], False), ("cpu", [], False),
        ("cpu", ["--fast", "--measure"], True),
    ],
)  # fmt: skip
def test_a_run_on_a_card_is_measured_unless_it_shall_be_fast(
    capsys: pytest.CaptureFixture[str], recipe: Path, monkeypatch: pytest.MonkeyPatch,
    device: str, words: list[str], measured: bool,
) -> None:  # fmt: skip
    card = Gpu(name="RTX 4090", total=24 * 10**9, free=20 * 10**9, capability=(8, 9))
    usual = commands.read_machine
    monkeypatch.setattr(
        commands, "read_machine", lambda home: usual(home).model_copy(update={"gpus": (card,)})
    )
    monkeypatch.setattr(launch, "preview", lambda chosen: Preview(tokens=guess(60, 10, 20, 64)))
    asked = []

    def start(root: Path, chosen: Recipe, made: Plan) -> None:
        asked.append(made.measure)
        raise RunError("Enough.")

    monkeypatch.setattr(launch, "start", start)
    change(recipe, "training.device", device)
    call(capsys, "run", str(recipe), *words)
    assert asked == [measured]


@pytest.mark.parametrize("kind", ["lora", "qlora", "full"])
def test_plan_of_a_model_needs_no_data(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    words = ["plan", "--model", "starter", "--adapt", kind, "--seq-len", "512"]
    one = document(capsys, *words)
    four = document(capsys, *words, "--micro-batch", "4")
    assert 0 < one["memory"]["total_bytes"] < four["memory"]["total_bytes"]
    assert one["trainable_parameters"] <= one["total_parameters"]
    assert one["steps"] is None


@pytest.mark.parametrize(("kind", "fits"), [("qlora", True), ("full", False)])
def test_plan_of_a_well_known_model_on_a_card_that_is_not_here(
    capsys: pytest.CaptureFixture[str], kind: str, fits: bool
) -> None:
    words = ["plan", "--model", "llama-3.1-8b", "--adapt", kind, "--gpu", "RTX 4090"]
    found = document(capsys, *words, "--seq-len", "2048", "--checkpointing", "on")
    assert found["total_parameters"] == 8_030_261_248
    assert 20e9 < found["limit"] < 26e9
    assert found["fits"] is fits
    status, _, err = call(capsys, "plan", "--model", "starter", "--gpu", "RTX 4009")
    assert status == 2
    assert "Did you mean" in err


def test_runs_are_listed_and_found_by_name(capsys: pytest.CaptureFixture[str], run: RunDir) -> None:
    found = document(capsys, "runs")
    assert [(r["name"], r["outcome"], r["step"], r["total"]) for r in found] == [
        ("one", "stopped", 5, 10)
    ]
    assert found == document(capsys, "runs", str(run.root.parent))
    assert document(capsys, "follow", "one")["run"] == str(run.root)


def test_no_runs_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "runs") == []


def test_follow_tells_how_a_run_ended(capsys: pytest.CaptureFixture[str], run: RunDir) -> None:
    found = document(capsys, "follow", str(run.root))
    assert found["outcome"] == "stopped"
    expected = {
        "loss": 3, "exact_match": 0.25, "reward_accuracy": None, "metrics": {}, "rows": 4,
    }  # fmt: skip
    assert found["before"] == expected
    assert found["after"] is None
    status, out, _ = call(capsys, "follow", str(run.root))
    assert status == 0
    assert "Stopped at step 5 of 10. Saved at step 5." in out


def test_stop_refuses_a_run_that_does_not_run(
    capsys: pytest.CaptureFixture[str], run: RunDir
) -> None:
    status, _, err = call(capsys, "stop", str(run.root))
    assert status == 2
    assert "is not running" in err


def test_paths_start_at_the_recipe(recipe: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    change(recipe, "model", "model")
    change(recipe, "data.heldout", "sample:tickets_heldout.jsonl")
    chosen = commands.load(recipe)
    assert chosen.data.path == str(data)
    assert chosen.data.heldout == "sample:tickets_heldout.jsonl"
    assert chosen.model == str(tmp_path / "model")


@pytest.mark.parametrize("model", ["starter", "owner/name"])
def test_names_of_models_stay(recipe: Path, model: str) -> None:
    change(recipe, "model", model)
    assert commands.load(recipe).model == model


# ---- words on the screen -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07after", "␛]0;title␇after"),
        ("\x1b]8;;http://x\x1b\\link", "␛]8;;http://x␛\\link"),
        ("a\x9b31mb\x00\x08", "a�31mb␀␈"),
        ("over\rwritten\r\n", "over␍written\n"),
        ("safe\u202egnp.exe", "safe�gnp.exe"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("नमस्ते 日本 👩\u200d🔬", "नमस्ते 日本 👩\u200d🔬"),
    ],
)
def test_nothing_steers_the_terminal(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_answers_of_a_model_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], run: RunDir
) -> None:
    answers = (Answer(prompt="\x1b[2Jq", expected="e", answer="\x1b]0;owned\x07a"),)
    with run.events_file.open("ab") as file:
        file.write(encode(Scored(when="before", loss=3, answers=answers)))
        file.write(encode(Scored(when="after", loss=1, answers=answers)))
    _, out, _ = call(capsys, "follow", str(run.root))
    assert "Question: ␛[2Jq" in out
    assert "\x1b" not in out


def test_two_answers_stand_side_by_side() -> None:
    lines = side_by_side("yes", "no\nno", ("before", "after")).splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["after", "-----", "no", "no"]
    assert len({line.index("|") for line in lines}) == 1


def test_columns_are_aligned() -> None:
    assert table([("a", "b"), ("long", "c")], indent="") == "a     b\nlong  c"


# ---- as a process --------------------------------------------------------------------------------


def spawn(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "core", *words], capture_output=True, text=True, check=False, **more
    )


def test_the_tool_is_a_process_with_a_status(tmp_path: Path) -> None:
    good = spawn("plan", "--model", "starter", "--json", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["memory"]["total_bytes"] > 0
    bad = spawn("check", "nowhere.yaml", cwd=tmp_path)
    assert bad.returncode == 2
    assert bad.stderr.startswith("error: ")
    assert bad.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")
def test_a_reader_that_leaves_is_no_fault() -> None:
    command = f"'{sys.executable}' -m core new | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_raise_only_what_the_door_understands(tmp_path: Path) -> None:
    with pytest.raises(CoreError):
        commands.example("unheard-of")


# ---- a real run ----------------------------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.slow
def test_a_plan_is_measured(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    change(recipe, "training.max_length", 64)
    found = document(capsys, "plan", str(recipe), "--fast", "--measure")
    memory, measured = found["memory"], found["measured"]
    assert memory["method"] == measured["method"] == "measured"
    assert memory["allocated_bytes"] == measured["allocated_bytes"] > 0
    assert memory["total_bytes"] == sum(item["bytes"] for item in memory["items"])
    assert found["fits"]
    assert found["seconds"] == measured["eta_seconds"] > 0
    assert measured["text"].startswith("Measured on this machine: ")
    assert [trial["rows"] for trial in measured["longest"]] == [8, 8, 8]


@pytest.mark.engine
def test_a_run_from_start_to_result(recipe: Path, tmp_path: Path) -> None:
    for path, value in [
        ("training.max_steps", 3), ("training.max_length", 64), ("checks.score_rows", 2),
        ("checks.answer_length", 4),
    ]:  # fmt: skip
        change(recipe, path, value)
    root = tmp_path / "run"
    done = spawn("run", recipe.name, "--fast", "--out", str(root), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["run"], found["outcome"], found["step"]) == (str(root), "finished", 3)
    for score in (found["before"], found["after"]):
        assert score["loss"] > 0
        assert 0 <= score["exact_match"] <= 1
    assert Path(found["artefact"]).is_dir()
    assert RunDir.open(root).load_recipe().data.path == str(tmp_path / "sums.jsonl")
    again = spawn("run", "--resume", str(root), "--json")
    assert again.returncode == 2
    assert "already finished" in again.stderr


@pytest.mark.engine
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_one_interrupt_saves_and_the_run_resumes(recipe: Path, tmp_path: Path) -> None:
    for path, value in [
        ("training.max_steps", 400), ("training.max_length", 64), ("checks.score_rows", 0),
        ("training.epochs", 1000),
    ]:  # fmt: skip
        change(recipe, path, value)
    root = tmp_path / "run"
    words = [sys.executable, "-m", "core", "run", str(recipe), "--fast", "--out", str(root)]
    with subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True) as child:
        _wait_for_step(RunDir(root))
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate()
    assert child.returncode == 0
    found = json.loads(out)
    assert found["outcome"] == "stopped"
    step, faults = RunDir.open(root).newest_valid()
    assert step == found["step"] < 400
    assert faults == []


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_two_interrupts_end_at_once_and_nothing_saved_is_lost(recipe: Path, tmp_path: Path) -> None:
    for path, value in [
        ("training.max_steps", 400), ("training.max_length", 64), ("checks.score_rows", 0),
        ("training.epochs", 1000), ("checks.save_every", 2),
    ]:  # fmt: skip
        change(recipe, path, value)
    root = tmp_path / "run"
    words = [sys.executable, "-m", "core", "run", str(recipe), "--fast", "--out", str(root)]
    with subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, text=True) as child:
        _wait_for_step(RunDir(root))
        for _ in range(2):
            child.send_signal(signal.SIGINT)
            time.sleep(0.01)  # else the system makes one of both
        out, _ = child.communicate()
    run = RunDir.open(root)
    assert not run.is_running()
    assert child.returncode in (0, 1)
    assert json.loads(out)["outcome"] in ("interrupted", "stopped")
    saved = [event.step for event in run.events() if isinstance(event, Saved)]
    step, faults = run.newest_valid()
    assert (step or 0) >= max(saved, default=0)
    assert faults == []


def _wait_for_step(run: RunDir) -> None:
    """Return once the run has taken a step."""
    while not (run.events_file.is_file() and b'"kind":"step"' in run.events_file.read_bytes()):
        time.sleep(0.1)
