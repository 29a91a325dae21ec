"""Engines killed at any instant: what was saved is there, and the run ends with the same bits."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from core import durable
from core.engine.ending import INTERRUPTED
from core.errors import CoreError
from core.events import Finished, Phase, Saved, decode
from core.merging import mergeable
from core.places import starter
from core.recipe import Recipe
from core.rundir import RunDir
from tests.engine.conftest import create, weights
from tests.engine.forks import Forks, forks

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and kills by signal"),
]
KILLS = int(os.environ.get("TUNESMITH_KILLS", "200"))
SEED = int(os.environ.get("TUNESMITH_SEED", str(random.randrange(10**6))))
MERGES, TERMS = max(4, KILLS // 5), max(4, KILLS // 10)
SAMPLE = 3
STEPS = 6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 0.3 million numbers with the starter's tokenizer: a run takes a second."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(starter())
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True,
            max_position_embeddings=256, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Forks]:
    with forks() as started:
        yield started


@pytest.fixture
def small(recipe: Recipe, tiny: Path) -> Recipe:
    """A run with all phases: rows, scores, steps, evaluations, checkpoints, a result."""
    for path, value in {
        "model": str(tiny), "training.max_steps": STEPS, "training.micro_batch": 2,
        "training.max_length": 64, "adaptation": {"kind": "lora", "dropout": 0.1},
        "checks.every": 3, "checks.save_every": 2, "checks.score_rows": 2,
    }.items():  # fmt: skip
        recipe = recipe.edit(path, value)
    return recipe


@dataclass(frozen=True)
class Straight:
    """A run that nobody has killed, and how long it took."""

    run: RunDir
    seconds: float


def uninterrupted(server: Forks, root: Path, recipe: Recipe) -> Straight:
    run, begun = create(root, recipe), time.monotonic()
    assert server.wait(server.start(run)) == 0, run.log_file.read_text()
    return Straight(run, time.monotonic() - begun)


Moment = Callable[[RunDir, Straight, random.Random], None]
"""Returns when it is time to kill."""


def anywhere(run: RunDir, straight: Straight, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, straight.seconds * 1.05))


def when(sign: Callable[[RunDir], bool], spread: float) -> Moment:
    """At most `spread` seconds after something is there to be seen, or the run is over."""

    def moment(run: RunDir, straight: Straight, chance: random.Random) -> None:
        give_up = time.monotonic() + 3 * straight.seconds
        while not sign(run) and time.monotonic() < give_up:
            time.sleep(0.0002)
        time.sleep(chance.uniform(0, spread))

    return moment


def staging(folder: Callable[[RunDir], Path]) -> Callable[[RunDir], bool]:
    """Whether something is being written aside in this folder."""
    return lambda run: any(path.name.startswith(".staging-") for path in folder(run).iterdir())


def said(words: bytes) -> Callable[[RunDir], bool]:
    return lambda run: words in run.events_file.read_bytes()


MOMENTS: dict[str, tuple[int, Moment]] = {
    "anywhere": (8, anywhere),
    "in a save": (5, when(staging(lambda run: run.checkpoints), 0.03)),
    "while starting": (1, when(said(b'"kind":"started"'), 0.1)),
    "while reading rows": (1, when(said(b'"name":"tokenising"'), 0.02)),
    "while loading": (2, when(said(b'"name":"loading"'), 0.1)),
    "while evaluating": (2, when(said(b'"step":3,'), 0.1)),
    "while saving the result": (2, when(staging(lambda run: run.root), 0.03)),
    "while scoring the result": (1, when(said(b'"kind":"finished"'), 0.0)),
}
"""Each kind of instant with its weight."""


def choose(chance: random.Random) -> tuple[str, Moment]:
    name = chance.choices([*MOMENTS], [weight for weight, _ in MOMENTS.values()])[0]
    return name, MOMENTS[name][1]


def acknowledged(run: RunDir) -> int:
    """The newest step that an event says is saved."""
    return max((event.step for event in run.events() if isinstance(event, Saved)), default=0)


def kill(server: Forks, run: RunDir, straight: Straight, chance: random.Random) -> str:
    """Start an engine and end it at some instant; returns what it was doing."""
    name, moment = choose(chance)
    pid = server.start(run)
    moment(run, straight, chance)
    os.kill(pid, signal.SIGKILL)
    server.wait(pid)
    torn = staging(lambda run: run.root)(run) or staging(lambda run: run.checkpoints)(run)
    assert (run.newest_valid()[0] or 0) >= acknowledged(run), "a saved step is lost"
    return f"{name}{', half a folder left' if torn else ''}: {doing(run)}"


def doing(run: RunDir) -> str:
    """The last phase that was told of."""
    told = [event.name for event in run.events() if isinstance(event, Phase)]
    over = isinstance([None, *run.events()][-1], Finished)
    return "over" if over else (told or ["starting"])[-1]


def story(run: RunDir) -> list[Any]:
    """Everything that a run tells of what it learned; times and memory may differ."""
    history = run.history()
    assert history.state == "finished"
    return [
        [(s.step, s.loss, s.grad_norm, s.learning_rate, s.epoch, s.tokens) for s in history.steps],
        [(e.step, e.loss, e.best) for e in history.evaluations],
        [(s.step, s.answer) for s in history.samples],
        [(s.loss, s.exact_match, s.answers) for s in (history.before, history.after) if s],
        history.artefact,
    ]


def saved(run: RunDir) -> list[int]:
    """Steps that are told to be saved, in their order."""
    return [event.step for event in run.history().checkpoints]


def check(run: RunDir, straight: Straight, stopped: Sequence[int] = ()) -> None:
    """The same bits, the same story, told in one piece; also saved where it was `stopped`."""
    assert weights(run) == weights(straight.run)
    assert story(run) == story(straight.run)
    assert saved(run) == sorted({*saved(straight.run), *stopped})
    lines = run.events_file.read_bytes().splitlines()
    told = [decode(line) for line in lines]
    assert [event.seq for event in told if event] == list(range(1, len(lines) + 1))
    assert not any(p.name.startswith(".") for p in [*run.root.iterdir()]), "nothing is left over"
    assert [event for event in told if isinstance(event, Saved)][-1].doubt == ""


def trial(server: Forks, root: Path, recipe: Recipe, straight: Straight, seed: str) -> list[str]:
    """One run, killed once or twice, and then left to end."""
    chance, run = random.Random(seed), create(root, recipe)
    where = [kill(server, run, straight, chance) for _ in range(chance.choice((1, 1, 2)))]
    assert server.wait(server.start(run)) == 0, run.log_file.read_text()
    check(run, straight)
    shutil.rmtree(root)
    return where


def killed(server: Forks, folder: Path, recipes: dict[str, Recipe], number: int) -> None:
    """So many runs, in turns of every recipe; prints where they were killed, and what went wrong.

    The folder of a run that went wrong is left to be looked at.
    """
    straight = {name: uninterrupted(server, folder / name, r) for name, r in recipes.items()}
    places: Counter[str] = Counter()
    wrong: list[str] = []
    for at in range(number):
        name, seed = [*recipes][at % len(recipes)], f"{SEED}/{at}"
        try:
            places.update(trial(server, folder / str(at), recipes[name], straight[name], seed))
        except (AssertionError, CoreError) as error:
            wrong.append(f"{name}, trial {seed}: {error}")
            print(wrong[-1], flush=True)
    took = {name: f"{one.seconds:.1f} s" for name, one in straight.items()}
    same = number - len(wrong)
    print(f"\n{same} of {number} runs ({took}) ended the same; seed {SEED}")
    tell(places)
    assert not wrong


def tell(places: Counter[str]) -> None:
    print(f"{places.total()} kills:")
    for place, count in sorted(places.items()):
        print(f"{count:5}  {place}")


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, server: Forks, small: Recipe) -> None:
    short = small.edit("training.max_steps", 4).edit("checks.every", 2)
    killed(server, tmp_path, {"lora": short}, SAMPLE)


@pytest.mark.slow
def test_killed_runs_end_with_the_same_bits(tmp_path: Path, server: Forks, small: Recipe) -> None:
    full = small.edit("adaptation", {"kind": "full"}).edit("training.optimizer", "adamw_8bit")
    killed(server, tmp_path, {"lora": small, "full": full}, KILLS)


def tell_to_end(server: Forks, run: RunDir, straight: Straight, chance: random.Random) -> str:
    """As systems do at log-off; returns what the engine was doing, and how it ended."""
    name, moment = choose(chance)
    pid = server.start(run)
    moment(run, straight, chance)
    what = doing(run)
    os.kill(pid, signal.SIGTERM)
    status = server.wait(pid)
    history = run.history()
    assert status in (INTERRUPTED, -signal.SIGTERM, 0), run.log_file.read_text()
    if status == -signal.SIGTERM:  # before it listens
        assert history.state == "waiting"
    else:
        assert history.state == ("interrupted" if status else "finished")
        assert what != "training" or run.newest_valid() == (history.step, []), "saved, then ended"
    return f"{name}: {what}, exit {status}"


@pytest.mark.slow
def test_runs_that_are_told_to_end_save_and_end_with_the_same_bits(
    tmp_path: Path, server: Forks, small: Recipe
) -> None:
    straight = uninterrupted(server, tmp_path / "straight", small)
    chance, places, longest = random.Random(SEED), Counter[str](), 0.0
    for at in range(TERMS):
        run, begun = create(tmp_path / str(at), small), time.monotonic()
        places[tell_to_end(server, run, straight, chance)] += 1
        longest = max(longest, time.monotonic() - begun)
        stopped = saved(run)
        assert server.wait(server.start(run)) == 0, run.log_file.read_text()
        check(run, straight, stopped)
        shutil.rmtree(run.root)
    print(f"\n{TERMS} runs told to end, {longest:.1f} s at most with their start, seed {SEED}")
    tell(places)


def test_a_checkpoint_that_nobody_told_of_is_told(
    tmp_path: Path, server: Forks, small: Recipe
) -> None:
    """Its engine was ended after the last rename and before the word about it."""
    short = small.edit("training.max_steps", 4).edit("checks.every", 2)
    straight = uninterrupted(server, tmp_path / "straight", short)
    run = RunDir(tmp_path / "run")
    shutil.copytree(straight.run.root, run.root)
    lines = run.events_file.read_bytes().splitlines(keepends=True)
    said = next(at for at, line in enumerate(lines) if b'"kind":"saved"' in line)
    run.events_file.write_bytes(b"".join(lines[:said]) + lines[said][:20])
    durable.discard(run.checkpoint(4))
    durable.discard(run.adapter)
    assert server.wait(server.start(run)) == 0, run.log_file.read_text()
    check(run, straight)


def merge(server: Forks, run: RunDir) -> int:
    """Start to put a run's adapter into its model; returns the process id."""
    asked, reply = run.root / "asked", run.root / "reply"
    asked.write_text(mergeable(run).model_dump_json(), encoding="utf-8")
    return server.work(run.log_file, "merge", str(asked), str(reply))


def merged(run: RunDir) -> dict[str, str]:
    """A digest of every file of a whole model, and nothing beside it; empty when there is none."""
    durable.sweep(run.merged.parent, shared=True)
    assert [p.name for p in run.merged.parent.iterdir()] in ([], ["merged"])
    if not run.merged.exists():
        return {}
    assert durable.verify(run.merged, alone=True) is None
    return {p.name: durable.digest(p) for p in run.merged.iterdir()}


@pytest.mark.slow
def test_a_killed_merge_leaves_a_whole_model_or_the_one_before(
    tmp_path: Path, server: Forks, small: Recipe
) -> None:
    run, begun = uninterrupted(server, tmp_path / "run", small).run, time.monotonic()
    assert server.wait(merge(server, run)) == 0, run.log_file.read_text()
    straight, whole = Straight(run, time.monotonic() - begun), merged(run)
    chance, places = random.Random(SEED), Counter[str]()
    writing = when(staging(lambda run: run.merged.parent), 0.05)
    for at in range(MERGES):
        over = at % 3 > 0  # two of three over one that is there
        if not over:
            durable.discard(run.merged)
        name, moment = (("anywhere", anywhere), ("while writing", writing))[at % 2]
        pid = merge(server, run)
        moment(run, straight, chance)
        os.kill(pid, signal.SIGKILL)
        server.wait(pid)
        torn = staging(lambda run: run.merged.parent)(run)
        found = merged(run)
        assert found == whole or (not over and not found)
        places[f"{name}{', over another' * over}{', half a folder left' * torn}"] += 1
        assert server.wait(merge(server, run)) == 0, run.log_file.read_text()
        assert merged(run) == whole
    print(f"\nmerges ({straight.seconds:.1f} s), seed {SEED}")
    tell(places)
