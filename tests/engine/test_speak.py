"""Models answer prompts: as they are, as runs have made them, and never the same thing twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core import durable, launch
from core.answering import (
    Answers,
    Request,
    Sampling,
    Speaker,
    as_it_is,
    draws,
    questions,
    result_of,
    typed,
)
from core.dataset import inspect_data, read_examples, split
from core.engine.speak import Said, _Table, speak
from core.errors import DataError, ModelError, RunError
from core.events import Finished, Step
from core.mixing import heldout_rows
from core.places import starter
from core.ranking import Ranking
from core.recipe import Recipe, parse
from core.rundir import RunDir
from tests.engine.conftest import create, go, plan_of

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
PROMPTS = typed("Tell me a story.\nDescribe a garden.\nHow are you?\nWhat is 2 + 2?")
GREEDY = Sampling(temperature=0, longest=24)


def ask(*speakers: Speaker, prompts: Any = PROMPTS) -> Answers:
    return speak(Request(speakers=speakers, prompts=prompts), lambda done, total: None)


def texts(made: Answers, speaker: int) -> list[str | None]:
    """What one speaker said to each prompt."""
    by_prompt = [{answer.speaker: answer.text for answer in said} for said in made.answers]
    return [said.get(speaker) for said in by_prompt]


def test_the_same_seed_says_the_same_and_two_draws_differ() -> None:
    speakers = draws([as_it_is("starter", Sampling(temperature=1, longest=12, seed=3))])
    told: list[tuple[int, int]] = []
    request = Request(speakers=speakers, prompts=PROMPTS)
    first = speak(request, lambda done, total: told.append((done, total)))
    assert first == ask(*speakers)
    assert told[0] == (0, 8)
    assert told[-1] == (8, 8)
    for said in first.answers:
        assert len({answer.text.strip() for answer in said}) == len(said)
    kept = sum(map(len, first.answers))
    assert kept == 8 - first.same - first.empty
    assert kept > 5
    other = ask(*draws([as_it_is("starter", Sampling(temperature=1, longest=12, seed=9))]))
    assert texts(other, 0) != texts(first, 0)


def test_what_cannot_differ_is_left_out_and_counted() -> None:
    made = ask(*[as_it_is("starter", GREEDY)] * 2)
    assert (made.same, made.retried, made.empty) == (len(PROMPTS), 0, 0)
    assert [len(said) for said in made.answers] == [1] * len(PROMPTS)


def test_what_is_empty_is_never_kept() -> None:
    table = _Table(1)
    assert not table.take(0, 0, Said(" \n", ended=True))
    table.leave_out(0, Said(" \n", ended=True))
    assert (table.answers().empty, table.answers().same) == (1, 0)


def test_an_answer_that_was_cut_off_says_so() -> None:
    short = ask(as_it_is("starter", Sampling(temperature=0, longest=2)), prompts=PROMPTS[:3])
    assert [answer.ended for (answer,) in short.answers] == [False] * 3
    whole = ask(as_it_is("starter", Sampling(temperature=0, longest=64)), prompts=PROMPTS[2:])
    assert [answer.ended for (answer,) in whole.answers] == [True] * 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_a_run_answers_as_it_was_scored(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    """The result of a run and its base say what the run itself said after and before training."""
    quick = {"max_steps": 4, "warmup": 0, "learning_rate": 5e-3 if kind == "lora" else 1e-3}
    raw = recipe.model_dump(mode="json")
    raw |= {"adaptation": {"kind": kind}, "training": raw["training"] | quick}
    recipe = parse(raw | {"checks": {"score_rows": 4, "answer_length": 24}})
    run = create(tmp_path / "run", recipe)
    story = go(run)
    assert story.before is not None
    assert story.after is not None
    examples, _ = read_examples(Path(recipe.data.path))
    held = heldout_rows(recipe.data, len(examples))
    kept = split(examples, held, recipe.training.seed)[1]
    made = ask(as_it_is("starter", GREEDY), result_of(run, GREEDY), prompts=questions(kept[:4]))
    before = [answer.answer for answer in story.before.answers]
    after = [answer.answer for answer in story.after.answers]
    assert before != after, "the test needs a run that changes its model"
    assert texts(made, 0) == before
    expected = [now if now != was else None for now, was in zip(after, before, strict=True)]
    assert texts(made, 1) == expected


def test_a_damaged_result_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", recipe)
    run.adapter.mkdir()
    weights = run.adapter / "adapter_model.safetensors"
    weights.write_bytes(b"whole")
    durable.seal(run.adapter)
    weights.write_bytes(b"flaws")
    with pytest.raises(RunError, match=r"adapter_model\.safetensors: checksum differs"):
        ask(result_of(run, GREEDY))


def test_a_prompt_without_room_for_an_answer_is_named() -> None:
    with pytest.raises(DataError, match="Prompt 2 has"):
        ask(as_it_is("starter", GREEDY), prompts=typed("Hi\n" + "word " * 5000))


def test_a_model_that_cannot_chat_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mute"
    shutil.copytree(starter(), folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ModelError, match="has no chat template"):
        ask(as_it_is(str(folder), GREEDY))


@pytest.mark.slow
def test_what_a_person_prefers_is_learned(tmp_path: Path) -> None:
    """From prompts to a finished run, every process as it is really started."""
    prompts = typed("\n".join(f"Tell me a story about number {n}." for n in range(12)))
    speakers = draws([as_it_is("starter", Sampling(temperature=1, longest=16))])
    request = Request(speakers=speakers, prompts=prompts)
    ranking = Ranking.create(tmp_path / "ranking.jsonl", request, launch.answer(request), 0)
    while ranking.current is not None:
        ranking.judge("first" if ranking.current % 2 else "second")
    target = tmp_path / "preferences.jsonl"
    exported = ranking.export(target)
    assert inspect_data(target).rows == exported.rows > 8
    recipe = parse(
        {
            "data": {"path": str(target), "heldout_share": 0.2},
            "objective": {"kind": "dpo"},
            "training": {"max_steps": 3, "micro_batch": 2, "device": "cpu", "max_length": 128},
            "checks": {"score_rows": 0},
        }
    )
    with launch.start(tmp_path / "run", recipe, plan_of(recipe)) as engine:
        run = RunDir.open(engine.run.root)
        events = [event for batch in launch.follow(run, engine.alive) for event in batch]
    assert isinstance(events[-1], Finished)
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2, 3]
    assert run.adapter.is_dir()
