"""Longer runs of every way to adapt and every goal: each learns, and a new process opens it.

The figures that these print (`-s`) are those of docs/proofs.md.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from core import models
from core.adapt import ADAPTATIONS
from core.dataset import Example
from core.engine.encode import encode, prepare_template
from core.engine.judge import rewards
from core.engine.load import STORED, load_tokenizer
from core.engine.pairs import last_answer
from core.engine.run import build_trainer
from core.engine.score import padding
from core.events import Scored
from core.objectives import OBJECTIVES
from core.places import sample, starter
from core.recipe import Recipe, parse
from core.rundir import RunDir
from tests.engine.conftest import create, go

pytestmark = [
    pytest.mark.engine, pytest.mark.slow, pytest.mark.filterwarnings("default"),
]  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
STEPS, BATCH = 100, 8


class Goal(NamedTuple):
    """What an adaptation must reach in the steps of its proof."""

    adaptation: dict[str, Any]
    loss: float
    """Most of the loss before that may be left."""
    exact: float
    """Least exact answers; 0 where so few steps do not teach them."""


GOALS = (
    Goal({"kind": "lora"}, 0.05, 0.3),
    Goal({"kind": "lora", "dora": True}, 0.05, 0.15),
    Goal({"kind": "qlora"}, 0.05, 0.3),
    Goal({"kind": "full"}, 0.05, 0.4),
    Goal({"kind": "adalora"}, 0.05, 0.05),
    Goal({"kind": "vera"}, 0.05, 0.3),
    Goal({"kind": "ia3"}, 0.2, 0.04),
    Goal({"kind": "prefix"}, 0.6, 0.0),
    Goal({"kind": "p-tuning-v2"}, 0.4, 0.0),
    Goal({"kind": "bottleneck"}, 0.1, 0.0),
    Goal({"kind": "freeze"}, 0.3, 0.0),
)


def tickets_recipe(adaptation: dict[str, Any]) -> Recipe:
    """The sample tickets at the automatic rate."""
    return parse(
        {
            "model": "starter",
            "data": {"path": "sample:tickets.jsonl", "heldout": "sample:tickets_heldout.jsonl"},
            "adaptation": adaptation,
            "training": {
                "max_steps": STEPS, "micro_batch": BATCH, "max_length": 256, "device": "cpu",
            },
            "checks": {
                "every": STEPS, "save_every": STEPS, "score_rows": 24, "answer_length": 48,
            },
        }
    )  # fmt: skip


def told(before: Scored, after: Scored) -> list[str]:
    """Cells of a table: what the held-out rows gave before and after."""
    pairs = [("loss", before.loss, after.loss), ("exact", before.exact_match, after.exact_match)]
    pairs += [("won", before.reward_accuracy, after.reward_accuracy)]
    pairs += [(name, before.metrics[name], after.metrics[name]) for name in before.metrics]
    return [f"{name} {was:.3f} -> {now:.3f}" for name, was, now in pairs if None not in (was, now)]


def named(adaptation: dict[str, Any]) -> str:
    return "-".join("dora" if value is True else value for value in adaptation.values())


def proven(folder: Path, name: str, recipe: Recipe) -> tuple[Scored, Scored]:
    """A whole run, scored before and after; one row of a table is printed."""
    began = time.process_time()
    story = go(create(folder, recipe))
    assert story.state == "finished"
    assert story.before is not None
    assert story.after is not None
    trained = recipe.adaptation.trainable(models.look(starter()))
    rate = max(step.learning_rate for step in story.steps)
    cells = [f"{trained:,}", f"{rate:g}", f"{len(story.steps)}", *told(story.before, story.after)]
    print(f"\n| {name} | {' | '.join(cells)} | {time.process_time() - began:.0f} s |")
    return story.before, story.after


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: named(goal.adaptation))
def test_an_adaptation_beats_the_untouched_base(tmp_path: Path, goal: Goal) -> None:
    before, after = proven(
        tmp_path / "run", named(goal.adaptation), tickets_recipe(goal.adaptation)
    )
    assert before.loss is not None
    assert after.loss is not None
    assert after.loss < goal.loss * before.loss
    assert before.exact_match == 0
    assert after.exact_match is not None
    assert after.exact_match >= goal.exact


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample preferences: as they are, turned round, and as single verdicts.

    The starter model finds the better answers likelier as it is. Goals that compare with the model
    as it was do not mind; the others are proven on pairs turned round, which it has to learn.
    """
    rows = [
        json.loads(line) for line in sample("preferences.jsonl").read_text("utf-8").splitlines()
    ]
    made = {
        "pairs": rows,
        "texts": [{"text": row["chosen"]} for row in rows],
        "turned": [r | {"chosen": r["rejected"], "rejected": r["chosen"]} for r in rows],
        "verdicts": [
            {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
            for row in rows
            for side in ("chosen", "rejected")
        ],
    }
    folder = tmp_path_factory.mktemp("pairs")
    for name, given in made.items():
        text = "".join(json.dumps(row) + "\n" for row in given)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in made}


def pairs_recipe(kind: str, data: Path, rate: float | None) -> Recipe:
    """60 steps of LoRA; a fifth of the rows is held out."""
    return parse(
        {
            "model": "starter",
            "data": {"path": str(data), "heldout_share": 0.2},
            "objective": {"kind": kind},
            "training": {
                "max_steps": 60, "micro_batch": 8, "max_length": 96, "device": "cpu",
                "learning_rate": rate,
            },
            "checks": {"every": 60, "save_every": 60, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "rows", "rate", "least"),
    [
        ("dpo", "pairs", None, 0.85), ("kto", "verdicts", None, 0.85),
        ("reward", "pairs", None, 0.95), ("orpo", "turned", 2e-3, 0.5),
        ("simpo", "turned", 2e-3, 0.9), ("cpo", "turned", 2e-3, 0.5),
    ],
)  # fmt: skip
def test_goals_of_pairs_tell_new_answers_apart(
    tmp_path: Path, pairs: dict[str, Path], kind: str, rows: str, rate: float | None, least: float
) -> None:
    recipe = pairs_recipe(kind, pairs[rows], rate)
    before, after = proven(tmp_path / "run", kind, recipe)
    assert before.loss is not None
    assert after.loss is not None
    assert after.loss < 0.8 * before.loss
    assert after.metrics["margin"] > before.metrics["margin"]
    assert preferred(before) <= 0.5
    assert preferred(after) > least


def preferred(scored: Scored) -> float:
    """Share of held-out pairs whose better answer gets more."""
    share = scored.reward_accuracy
    return scored.metrics["accuracy"] if share is None else share


TOKENS = torch.arange(5, 25).reshape(1, -1)
TALK = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Very well."}]
ELSEWHERE = """
import json, sys
import torch
from core.answering import Speaker
from core.engine.judge import open_judge
from core.engine.speak import open_voice
from pathlib import Path
torch.set_num_threads(1)
asked = json.loads(sys.argv[1])
given = {}
for name, run in asked["voices"].items():
    model = open_voice(Speaker(name=name, model="", run=run)).model.eval()
    with torch.no_grad():
        given[name] = model(torch.tensor(asked["tokens"]), use_cache=False).logits
for name, run in asked["judges"].items():
    given[name] = torch.tensor(open_judge(Path(run))([asked["talk"]]))
torch.save(given, sys.argv[2])
"""


class Learned(NamedTuple):
    """A short run, and what its trained model gives in this process."""

    run: RunDir
    given: torch.Tensor


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models of all runs of a test, as training leaves them."""
    seen: list[Any] = []

    def watched(*given: Any, **named: Any) -> Any:
        trainer = build_trainer(*given, **named)
        seen.append(trainer.model)
        return trainer

    monkeypatch.setattr("core.engine.run.build_trainer", watched)
    return seen


def learned(run: RunDir, trained: list[Any]) -> Learned:
    """Train, and ask the model before it is gone."""
    story = go(run)
    assert (story.state, len(story.steps)) == ("finished", 2)
    model = as_saved(run, trained.pop())
    if run.load_recipe().objective.speaks:
        with torch.no_grad():
            return Learned(run, model.eval()(TOKENS, use_cache=False).logits.clone())
    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    (row,) = encode(tokenizer, [Example(0, TALK)])
    return Learned(run, torch.tensor(rewards(model, [last_answer(row, 1).ids], padding(tokenizer))))


def as_saved(run: RunDir, model: Any) -> Any:
    """A whole model is rounded to the precision of its file."""
    if not run.model.is_dir():
        return model
    return copy.deepcopy(model).to(STORED.get(models.look(run.model).stored, torch.float32))


def same_elsewhere(folder: Path, runs: dict[str, Learned]) -> None:
    """One new process opens every result, and gives what the trained models have given."""
    speaking = {n: r.run.load_recipe().objective.speaks for n, r in runs.items()}
    asked = {
        "voices": {n: str(runs[n].run.root) for n, speaks in speaking.items() if speaks},
        "judges": {n: str(runs[n].run.root) for n, speaks in speaking.items() if not speaks},
        "tokens": TOKENS.tolist(),
        "talk": TALK,
    }
    out = folder / "given.pt"
    command = [sys.executable, "-c", ELSEWHERE, json.dumps(asked), str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    given = torch.load(out)
    assert given.keys() == runs.keys()
    for name, one in runs.items():
        print(f"\n{name}: {(given[name].float() - one.given.float()).abs().max().item():.2g}")
    for name, one in runs.items():
        torch.testing.assert_close(
            given[name], one.given, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: name + text
        )


EVERY = [kind.model_fields["kind"].default for kind in ADAPTATIONS]
SHORT: dict[str, Any] = {"max_steps": 2, "micro_batch": 4, "max_length": 128, "device": "cpu"}
QUIET = {"every": 2, "save_every": 2, "score_rows": 0, "answer_length": 2}


def test_every_adaptation_is_the_same_in_a_new_process(
    tmp_path: Path, tickets: Path, trained: list[Any]
) -> None:
    runs = {}
    for kind in EVERY:
        recipe = parse(
            {
                "model": "starter",
                "data": {"path": str(tickets), "heldout_share": 0.1},
                "adaptation": {"kind": kind},
                "training": SHORT,
                "checks": QUIET,
            }
        )
        runs[kind] = learned(create(tmp_path / kind, recipe), trained)
    same_elsewhere(tmp_path, runs)


def objectives(pairs: dict[str, Path]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Every goal, with rows that it reads."""
    judged = {"rewards": [{"kind": "length", "most": 1}], "longest_answer": 4}
    asked = sample("prompts.jsonl"), judged
    found: dict[str, tuple[Path, dict[str, Any]]] = dict.fromkeys(("ppo", "grpo", "rloo"), asked)
    for kind in ("dpo", "reward", "orpo", "simpo", "cpo"):
        found[kind] = pairs["pairs"], {}
    return found | {"kto": (pairs["verdicts"], {}), "pretrain": (pairs["texts"], {})}


def test_every_goal_is_the_same_in_a_new_process(
    tmp_path: Path, pairs: dict[str, Path], trained: list[Any]
) -> None:
    runs = {}
    teacher = shutil.copytree(starter(), tmp_path / "teacher")
    chosen = objectives(pairs) | {"distill": (sample("tickets.jsonl"), {"teacher": str(teacher)})}
    assert {"sft", *chosen} == {kind.model_fields["kind"].default for kind in OBJECTIVES}
    for kind, (data, more) in chosen.items():
        recipe = parse(
            {
                "model": "starter",
                "data": {"path": str(data), "heldout_share": 0.1},
                "objective": {"kind": kind, **more},
                "training": SHORT,
                "checks": QUIET,
            }
        )
        runs[kind] = learned(create(tmp_path / kind, recipe), trained)
    same_elsewhere(tmp_path, runs)
