"""Every objective beside imitation: it learns, goes on exactly, and is measured as TRL would."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from core.adapt import ADAPTATIONS
from core.answering import Sampling, Speaker
from core.engine.emit import Voice
from core.engine.judge import open_judge
from core.engine.lesson import Lesson
from core.engine.load import load_tokenizer
from core.engine.measure import measure
from core.engine.plain import parted
from core.engine.preview import preview
from core.engine.run import Job, _make_trainer, read_rows
from core.engine.speak import open_voice
from core.engine.thumbs import _turned
from core.engine.trainer import Watched
from core.engine.wishes import Wishes
from core.errors import DataError, RunError
from core.events import Event, Step
from core.objectives import OBJECTIVES
from core.places import sample, starter
from core.plan import Plan
from core.recipe import Recipe, parse
from core.rundir import RunDir
from tests.engine.conftest import create, go, losses, plan_of, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
EXPERIMENTAL = {kind.model_fields["kind"].default for kind in OBJECTIVES if not kind.stable}
FULL_RATE = {"pretrain": 1e-3, "kto": 3e-4, "reward": 1e-3}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small data of every format, made of the samples."""
    folder = tmp_path_factory.mktemp("objectives")
    lines = sample("preferences.jsonl").read_text(encoding="utf-8").splitlines()[:80]
    pairs = [json.loads(line) for line in lines]
    thumbs = [
        {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
        for pair in pairs
        for side in ("chosen", "rejected")
    ]
    stories = json.loads(sample("stories.alpaca.json").read_text(encoding="utf-8"))[:60]
    texts = [{"text": f"{story['instruction']}\n{story['output']}"} for story in stories]
    # the starter model finds the sensible answers likelier as it is; turned round it has to learn
    turned = [p | {"chosen": p["rejected"], "rejected": p["chosen"]} for p in pairs]
    rows = {"preference": pairs, "turned": turned, "kto": thumbs, "text": texts}
    for name, given in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in given)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in rows}


def recipe_of(files: dict[str, Path], kind: str, steps: int = 6, **changes: Any) -> Recipe:
    """Some steps of eight rows on the starter model, without generated answers."""
    format_of = {"pretrain": "text", "kto": "kto"} | dict.fromkeys(EXPERIMENTAL, "turned")
    recipe = parse(
        {
            "model": "starter",
            "data": {"path": str(files[format_of.get(kind, "preference")]), "heldout_share": 0.2},
            "objective": {"kind": kind},
            "training": {
                "max_steps": steps, "micro_batch": 8, "learning_rate": 2e-3, "warmup": 0,
                "max_length": 96, "device": "cpu",
            },
            "checks": {"every": steps, "save_every": 3, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip
    for path, value in changes.items():
        recipe = recipe.edit(path.replace("__", "."), value)
    return recipe


def full(recipe: Recipe) -> Recipe:
    rate = FULL_RATE.get(recipe.objective.kind, 2e-4)
    recipe = recipe.edit("adaptation", {"kind": "full"})
    return recipe.edit("training.learning_rate", rate)


def names(run: RunDir) -> set[str]:
    (file,) = (run.adapter if run.adapter.exists() else run.model).glob("*.safetensors")
    with safe_open(file, "pt") as opened:
        return set(opened.keys())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretrain", "kto", "reward", "orpo", "simpo", "cpo"])
@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_it_learns_on_rows_it_has_not_seen(
    tmp_path: Path, files: dict[str, Path], kind: str, adaptation: str
) -> None:
    """The held-out loss falls, and where answers are compared the better ones win more often."""
    recipe = recipe_of(files, kind, 16)
    run = create(tmp_path / "run", recipe if adaptation == "lora" else full(recipe))
    story = go(run)
    assert (story.state, len(story.steps)) == ("finished", 16)
    assert story.before is not None
    assert story.after is not None
    assert story.before.loss is not None
    assert story.after.loss is not None
    assert story.after.loss < story.before.loss
    if kind == "pretrain":
        assert story.after.metrics["perplexity"] == pytest.approx(math.exp(story.after.loss))
    else:
        assert story.after.metrics["margin"] > story.before.metrics["margin"]
        if kind not in EXPERIMENTAL:
            assert story.after.metrics["accuracy"] > 0.7
    if kind == "kto":  # model and reference are the same at first
        assert losses(story)[0] == pytest.approx(0.5, abs=1e-6)
    assert story.steps[-1].tokens > story.steps[0].tokens > 0
    saved = names(run)
    if adaptation == "lora":
        assert all("lora_" in name or name.endswith("score.weight") for name in saved)
    assert any(name.endswith("score.weight") for name in saved) == (kind == "reward")


def ready(folder: Path, recipe: Recipe) -> tuple[Watched, Lesson[Any]]:
    """A trainer that has not taken a step, its adapter far from where it began."""
    run = create(folder, recipe)
    settings = Plan.model_validate_json(run.plan_file.read_bytes()).settings
    assert settings is not None
    wishes = Wishes(run, run.control().serial)
    job = Job(run, recipe, settings, Voice(run), wishes, None, run.history())
    tokenizer, lesson = read_rows(job, starter())
    torch.manual_seed(0)
    model = lesson.load(starter(), job.settings)
    lesson.prepare(model, lambda *_: None)
    trainer = _make_trainer(job, model, tokenizer, lesson)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.02 * torch.randn(parameter.shape)
    job.voice.close()
    return trainer, lesson


def heldout_rows(lesson: Lesson[Any], kind: str) -> list[dict[str, Any]]:
    """The held-out rows as the trainer's collator reads them."""
    held = lesson.corpus.heldout
    if kind == "kto":
        return [lesson._columns(*both) for both in zip(held, _turned(held), strict=True)]  # type: ignore[attr-defined]
    if kind == "pretrain":
        return [{"input_ids": r.ids, "labels": r.ids} for r in parted(held, lesson.length)]
    return [lesson.columns(pair) for pair in held]  # type: ignore[attr-defined]


MEASURED: list[Any] = [
    {"kind": "kto", "beta": 0.3, "good_weight": 2.0},
    {"kind": "orpo", "beta": 0.5},
    *(
        pytest.param(each, marks=pytest.mark.slow)
        for each in (
            {"kind": "kto", "loss_type": "apo_zero_unpaired"},
            {"kind": "reward", "centre": 0.1},
            {"kind": "simpo", "gamma": 0.5},
            {"kind": "cpo", "imitation": 0.7},
            {"kind": "cpo", "loss_type": "ipo"},
            {"kind": "cpo", "loss_type": "hinge"},
            {"kind": "pretrain", "packing": False},
        )
    ),
]


@pytest.mark.parametrize("objective", MEASURED, ids=lambda each: "-".join(map(str, each.values())))
def test_the_measured_loss_is_the_trained_one(
    tmp_path: Path, files: dict[str, Path], objective: dict[str, Any]
) -> None:
    """Ours on the held-out rows against TRL's on the same rows, for a model that has moved."""
    kind = objective["kind"]
    recipe = recipe_of(files, kind, objective=objective).edit("training.max_length", 40)
    trainer, lesson = ready(tmp_path / "run", recipe)
    found = lesson.measure(trainer.model)
    batch = trainer.data_collator(heldout_rows(lesson, kind))
    with torch.no_grad():
        theirs = trainer.compute_loss(trainer.model.eval(), batch)
    assert found.loss == pytest.approx(theirs.item(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretrain", "kto", "reward", "orpo", "simpo"])
def test_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, files: dict[str, Path], kind: str
) -> None:
    recipe = recipe_of(files, kind, 4, checks__save_every=2)
    recipe = recipe.edit("adaptation", {"kind": "lora", "dropout": 0.1})
    if kind == "pretrain":
        recipe = full(recipe)
    whole, broken = create(tmp_path / "whole", recipe), create(tmp_path / "broken", recipe)
    straight = go(whole)

    def stop_at_two(run: RunDir, event: Event) -> None:
        if isinstance(event, Step) and event.step == 2:
            run.ask("stop")

    assert go(broken, stop_at_two).state == "stopped"
    resumed = go(broken)
    assert losses(resumed) == losses(straight)
    assert [(e.loss, e.metrics) for e in resumed.evaluations] == [
        (e.loss, e.metrics) for e in straight.evaluations
    ]
    assert weights(broken) == weights(whole)


@pytest.mark.slow
@pytest.mark.parametrize("adaptation", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_a_reward_model_comes_back_as_the_judge_it_was(
    tmp_path: Path, files: dict[str, Path], adaptation: str
) -> None:
    """Held-out pairs, judged from the saved result, give the margin that the run has told."""
    recipe = recipe_of(files, "reward", 3)
    run = create(tmp_path / "run", recipe if adaptation == "lora" else full(recipe))
    story = go(run)
    assert story.after is not None
    judge = open_judge(run.root)
    rows = [json.loads(line) for line in files["preference"].read_text().splitlines()]
    talks = [
        [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[side]}]
        for row in rows
        for side in ("chosen", "rejected")
    ]
    given = judge(talks)
    near = 1e-4 if adaptation == "lora" else 0.05  # the whole model is saved in 16 bits
    assert given == pytest.approx([judge([talk])[0] for talk in talks], abs=near)
    margins = [better - worse for better, worse in zip(given[::2], given[1::2], strict=True)]
    told = preview(recipe, 200)
    trained = {row.line for row in told.rows}
    held = [margin for line, margin in enumerate(margins, 1) if line not in trained]
    assert len(held) == 16
    assert sum(held) / 16 == pytest.approx(story.after.metrics["margin"], abs=near)
    with pytest.raises(DataError, match="no answer to judge"):
        judge([talks[0][:1]])
    with pytest.raises(RunError, match="judges answers and writes none"):
        open_voice(Speaker(name="judge", run=str(run.root), sampling=Sampling()))


def test_texts_are_read_whole_and_without_a_template(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    """Every token is learned, long texts go on in the next row, and each ends with its end."""
    recipe = recipe_of(files, "pretrain", objective={"kind": "pretrain", "packing": True})
    trainer, lesson = ready(tmp_path / "run", recipe.edit("training.max_length", 32))
    tokenizer = load_tokenizer(starter())
    data = lesson.dataset()
    assert sum(len(ids) for ids in data["input_ids"]) == pytest.approx(
        sum(len(row.ids) for row in lesson.corpus.train), abs=len(lesson.corpus.train)
    )
    assert data["labels"] == data["input_ids"]
    assert max(len(ids) for ids in data["input_ids"]) == 32
    first = lesson.corpus.train[0]
    text = json.loads(files["text"].read_text().splitlines()[first.line - 1])["text"]
    assert tokenizer.decode(first.ids) == text + tokenizer.eos_token
    shown = preview(recipe.edit("training.max_length", 32), 3)
    assert (shown.tokens.cut, shown.tokens.untrained) == (0, 0)
    assert all(piece.kind == "trained" for row in shown.rows for piece in row.pieces[1:])
    asked = lesson.answers(trainer.model, tokenizer, lesson.corpus.examples[:1])
    example = lesson.corpus.examples[0]
    assert f"{asked[0].prompt} {asked[0].expected}" == example.messages[0]["content"]


@pytest.mark.slow
def test_lopsided_thumbs_are_told(tmp_path: Path, files: dict[str, Path]) -> None:
    lines = files["kto"].read_text().splitlines(keepends=True)
    few = tmp_path / "few.jsonl"
    few.write_text("".join(lines[::2] + lines[1:21:2]), encoding="utf-8")
    run = create(tmp_path / "run", recipe_of(files, "kto", 1, data__path=str(few)))
    told = {w.code: w.text for w in go(run).warnings}
    assert "good and" in told["verdicts-unbalanced"]


@pytest.mark.slow
def test_a_reward_model_judges_new_answers_well(tmp_path: Path) -> None:
    """All sample pairs once or twice: far above chance on pairs it has not seen."""
    path = sample("preferences.jsonl")
    recipe = recipe_of({"preference": path}, "reward", 60, checks__every=20, checks__save_every=60)
    story = go(create(tmp_path / "run", recipe))
    assert story.before is not None
    assert story.after is not None
    assert 0.2 < story.before.metrics["accuracy"] < 0.8
    assert story.after.metrics["accuracy"] > 0.95
    assert story.after.metrics["margin"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretrain", "kto", "reward", "orpo"])
@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_memory_is_measured_before_a_run(
    tmp_path: Path, files: dict[str, Path], kind: str, adaptation: str
) -> None:
    """Trial steps of every family work, on the longest rows."""
    recipe = recipe_of(files, kind).edit("adaptation", {"kind": adaptation})
    settings = plan_of(recipe).settings
    assert settings is not None
    found = measure(recipe, settings, tmp_path)
    assert (found.fits, found.failure) == (True, "")
    assert found.eta(settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind.model_fields["kind"].default for kind in ADAPTATIONS])
def test_a_reward_model_trains_what_the_plan_says(
    tmp_path: Path, files: dict[str, Path], kind: str
) -> None:
    """Its score is trained beside whatever the adaptation trains, and comes back with it."""
    recipe = recipe_of(files, "reward", 2).edit("adaptation", {"kind": kind})
    run = create(tmp_path / "run", recipe)
    story = go(run)
    assert not [warning for warning in story.warnings if warning.code == "trainable"]
    talk = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine."}]
    assert open_judge(run.root)([talk]) == open_judge(run.root)([talk])
    saved = {name for file in run.root.rglob("*.safetensors") for name in _names(file)}
    assert any("score" in name for name in saved)


@pytest.mark.slow
def test_tables_trained_whole_are_trained_beside_the_score(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    recipe = recipe_of(files, "reward", 2).edit("adaptation.train_whole", ["embed_tokens"])
    run = create(tmp_path / "run", recipe)
    story = go(run)
    assert not [warning for warning in story.warnings if warning.code == "trainable"]
    saved = _names(run.adapter / "adapter_model.safetensors")
    assert any("score" in name for name in saved)
    assert any("embed_tokens" in name for name in saved)


def _names(file: Path) -> list[str]:
    with safe_open(file, "pt") as opened:
        return list(opened.keys())
