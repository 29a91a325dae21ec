"""A person's judgements: kept through crashes, counted honestly, read as preferences."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from core import cli
from core.answering import (
    Answer,
    Answers,
    Request,
    Sampling,
    as_it_is,
    drawn,
    draws,
    prompts_of,
    result_of,
    typed,
)
from core.dataset import inspect_data, read_examples
from core.errors import CoreError, DataError, RunError
from core.places import sample
from core.ranking import Ranking, Verdict, chance
from core.rundir import RunDir

ODD = "<b>שלום</b> \u2028 line"


def made(file: Path, prompts: int = 4, speakers: int = 2, seed: int = 3) -> Ranking:
    """A session in which speaker S says "S says N" to prompt N."""
    asked = tuple(as_it_is(f"model-{s}", Sampling()) for s in range(speakers))
    request = Request(speakers=asked, prompts=typed("\n".join(f"Q{n}?" for n in range(prompts))))
    said = tuple(
        tuple(Answer(speaker=s, text=f"{s} says {n} {ODD}") for s in range(speakers))
        for n in range(prompts)
    )
    return Ranking.create(file, request, Answers(answers=said), seed)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "ranking.jsonl"


def state(ranking: Ranking) -> tuple[Any, ...]:
    return ranking.head, ranking.pairs, ranking.current, ranking.summary()


def test_a_session_is_the_same_when_opened_again(file: Path) -> None:
    ranking = made(file)
    for verdict in ("first", "tie", "skip"):
        ranking.judge(verdict)
    assert ranking.current == 3
    assert state(Ranking.open(file)) == state(ranking)


def test_a_crash_at_any_byte_of_a_judgement_costs_that_one_alone(file: Path) -> None:
    ranking = made(file)
    ranking.judge("first")
    whole = file.read_bytes()
    ranking.judge("second")
    for end in range(len(whole), file.stat().st_size):
        torn = file.with_name("torn.jsonl")
        torn.write_bytes(file.read_bytes()[:end])
        opened = Ranking.open(torn)
        assert opened.current == 1
        opened.judge("tie")
        assert Ranking.open(torn).summary().ties == 1
        assert torn.read_bytes().startswith(whole)


def test_undo_takes_back_the_last_judgement_and_is_kept(file: Path) -> None:
    ranking = made(file)
    assert not ranking.undo()
    ranking.judge("first")
    ranking.judge("skip")
    assert ranking.undo()
    assert ranking.current == 1
    assert Ranking.open(file).current == 1
    assert ranking.undo()
    assert ranking.summary().judged == Ranking.open(file).summary().judged == 0


def test_two_judges_at_once_are_refused(file: Path) -> None:
    one, other = made(file), Ranking.open(file)
    one.judge("first")
    with pytest.raises(DataError, match="was judged elsewhere"):
        other.judge("second")
    assert Ranking.open(file).summary() == one.summary()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "does not begin"),
        ('{"kind": "pair"}\n', "line 1 is damaged"),
        ("no JSON\n", "line 1 is damaged"),
    ],
)
def test_what_is_no_ranking_is_named(file: Path, text: str, says: str) -> None:
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        Ranking.open(file)


def test_a_judgement_of_no_pair_is_named(file: Path) -> None:
    made(file)
    with file.open("a", encoding="utf-8") as more:
        more.write('{"kind": "judgement", "pair": 99, "verdict": "tie", "t": 1}\n')
    with pytest.raises(DataError, match="pair 99"):
        Ranking.open(file)


def test_sides_are_ordered_by_lot_and_every_two_answers_are_compared(file: Path) -> None:
    pairs = made(file, prompts=40, speakers=3).pairs
    assert len(pairs) == 40 * 3
    orders = [tuple(side.speaker for side in pair.sides) for pair in pairs]
    for one, other in itertools.combinations(range(3), 2):
        assert {(one, other), (other, one)} <= set(orders)
    again = made(file.with_name("again.jsonl"), prompts=40, speakers=3).pairs
    assert again == pairs
    assert made(file.with_name("other.jsonl"), prompts=40, speakers=3, seed=4).pairs != pairs


def test_wins_belong_to_the_speaker_not_to_the_side(file: Path) -> None:
    ranking = made(file, prompts=12)
    for pair in ranking.pairs[:10]:
        ranking.judge("first" if pair.sides[0].speaker == 1 else "second")
    ranking.judge("tie")
    ranking.judge("skip")
    found = ranking.summary()
    assert [(s.name, s.wins, s.losses, s.ties) for s in found.standings] == [
        ("model-0, as it is", 0, 10, 1),
        ("model-1, as it is", 10, 0, 1),
    ]
    assert found.standings[1].chance == pytest.approx(2 / 1024)
    assert (found.decided, found.ties, found.skips, found.judged) == (10, 1, 1, 12)
    assert 0 < found.first < 10
    assert "as chance may have it" in found.bias


def test_a_favourite_side_is_told(file: Path) -> None:
    ranking = made(file, prompts=12)
    for _ in ranking.pairs:
        ranking.judge("first")
    found = ranking.summary()
    assert (found.first_share, found.first_chance) == (1.0, pytest.approx(2 / 2**12))
    assert "12 of 12 times: more one-sided than chance" in found.bias


@pytest.mark.parametrize(
    ("wins", "losses", "expected"), [(0, 0, 1), (5, 5, 1), (9, 1, 22 / 1024), (0, 1, 1)]
)
def test_the_sign_test(wins: int, losses: int, expected: float) -> None:
    assert chance(wins, losses) == chance(losses, wins) == pytest.approx(expected)


def test_what_is_decided_is_read_as_preferences(file: Path) -> None:
    ranking = made(file, prompts=5)
    said: tuple[Verdict, ...] = ("first", "second", "tie", "skip")
    for verdict in said:
        ranking.judge(verdict)
    target = file.with_name("prefs.jsonl")
    told = ranking.export(target)
    assert (told.rows, told.ties, told.skips, told.waiting) == (2, 1, 1, 1)
    facts = inspect_data(target)
    assert (facts.format, facts.confidence, facts.rows, facts.unusable) == ("preference", 1.0, 2, 0)
    assert set(facts.mapping) == {"prompt", "chosen", "rejected"}
    examples, _ = read_examples(target)
    for example, pair, better in zip(examples, ranking.pairs, (0, 1), strict=False):
        assert example.rejected is not None
        assert example.messages[:-1] == example.rejected[:-1] == list(pair.prompt)
        assert example.messages[-1]["content"] == pair.sides[better].text
        assert example.rejected[-1]["content"] == pair.sides[1 - better].text


def test_better_answers_that_were_cut_off_are_told(file: Path) -> None:
    request = Request(speakers=(as_it_is("a", Sampling()),) * 2, prompts=typed("Q?"))
    short, whole = Answer(speaker=0, text="It is", ended=False), Answer(speaker=1, text="Yes.")
    ranking = Ranking.create(file, request, Answers(answers=((short, whole),)), 0)
    ranking.judge("first" if ranking.pairs[0].sides[0] == short else "second")
    assert "stop too early" in ranking.export(file.with_name("prefs.jsonl")).text


def test_without_anything_decided_or_to_compare_nothing_is_written(file: Path) -> None:
    ranking = made(file)
    ranking.judge("tie")
    target = file.with_name("prefs.jsonl")
    with pytest.raises(DataError, match="nothing to learn"):
        ranking.export(target)
    assert not target.exists()
    request = Request(speakers=(as_it_is("a", Sampling()),) * 2, prompts=typed("Q?"))
    alone = Answers(answers=((Answer(speaker=0, text="Hi"),),), same=1)
    with pytest.raises(DataError, match="two answers that differ"):
        Ranking.create(target, request, alone, 0)
    assert not target.exists()


def test_prompts_come_from_text_datasets_and_bare_rows(tmp_path: Path) -> None:
    text, bare = tmp_path / "some.txt", tmp_path / "bare.jsonl"
    text.write_text("One?\n\n  Two?\nOne?\n", encoding="utf-8")
    bare.write_text('{"prompt": "One?"}\n{"prompt": "Two?"}\n', encoding="utf-8")
    expected = [[{"role": "user", "content": "One?"}], [{"role": "user", "content": "Two?"}]]
    assert [list(p) for p in prompts_of(text)] == expected
    assert [list(p) for p in prompts_of(bare)] == expected
    tickets = prompts_of(sample("tickets.jsonl"))
    assert {p[-1]["role"] for p in tickets} == {"user"}
    few = drawn(tickets, 5, 1)
    assert few == drawn(tickets, 5, 1) != drawn(tickets, 5, 2)
    assert [tickets.index(p) for p in few] == sorted(tickets.index(p) for p in few)
    assert drawn(few, 9, 1) == few


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("no.txt", "\n\n", "asks nothing"),
        ("no.jsonl", '{"text": "Once upon a time."}\n', "asks nothing"),
        ("no.jsonl", '{"a": 1}\n', "no.jsonl"),
        ("missing.txt", None, "No such file"),
    ],
)
def test_a_file_without_prompts_is_named(
    tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        prompts_of(tmp_path / name)


def test_a_single_model_is_drawn_twice_unless_it_cannot_differ(tmp_path: Path) -> None:
    one, two = draws([as_it_is("starter", Sampling(seed=5))])
    assert (one.sampling.seed, two.sampling.seed) == (5, 6)
    assert one.name != two.name
    last = draws([as_it_is("starter", Sampling(seed=2**31 - 1))])
    again = Request.model_validate_json(Request(speakers=last, prompts=()).model_dump_json())
    assert again.speakers == last
    with pytest.raises(CoreError, match="same answer each time"):
        draws([as_it_is("starter", Sampling(temperature=0))])
    with pytest.raises(RunError, match="no result yet"):
        result_of(RunDir(tmp_path), Sampling())


# -- the terminal -----------------------------------------------------------------------------


def rank(monkeypatch: pytest.MonkeyPatch, typed_keys: str, *words: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed_keys))
    return cli.main(["rank", *words])


@pytest.fixture
def asked(tmp_path: Path) -> tuple[str, ...]:
    """The words that go on with a session whose answers are there."""
    request = Request(
        speakers=draws([as_it_is("starter", Sampling())]), prompts=typed("One?\nTwo?\nThree?")
    )
    said = ((Answer(speaker=0, text="\x1b[2Jyes"), Answer(speaker=1, text="no")),) * 3
    Ranking.create(tmp_path / "prefs.ranking.jsonl", request, Answers(answers=said), 0)
    return "prompts.txt", "--model", "starter", "-o", str(tmp_path / "prefs.jsonl")


def test_the_terminal_asks_goes_on_and_writes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    asked: tuple[str, ...],
) -> None:
    assert rank(monkeypatch, "1\nu\n2\nwhat\nT\nq\n", *asked) == 0
    told = capsys.readouterr().out
    assert "3 of 3" in told
    assert "'what' is none of the keys" in told
    assert "Preferences written: 1. Left out: ties 1, not judged 1." in told
    assert "\x1b" not in told
    before_the_end = told[: told.index("Judged 2 of 3")]
    assert "draw" not in before_the_end, "who said what must not be told while it is judged"
    assert rank(monkeypatch, "s\n", *asked, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["judged"], document["ties"], document["skips"]) == (3, 1, 1)
    assert document["preferences"]["rows"] == 1
    assert inspect_data(tmp_path / "prefs.jsonl").format == "preference"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--seed", "9"), "compares other models"),
        (("--temperature", "7"), "out of its range"),
        (("--temperature", "0"), "same answer each time"),
        (("--run", "no-such-run"), "is not a run"),
        (("-o", "prefs.csv"), "does not end in .jsonl"),
    ],
)
def test_the_terminal_names_what_it_cannot_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: tuple[str, ...],
    words: tuple[str, ...],
    says: str,
) -> None:
    assert rank(monkeypatch, "", *asked, *words) == 2
    assert says in capsys.readouterr().err


def test_a_file_of_others_is_never_written_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text("mine", encoding="utf-8")
    assert rank(monkeypatch, "", "p.txt", "--model", "starter", "-o", str(own)) == 2
    assert "exists already" in capsys.readouterr().err
    assert own.read_text(encoding="utf-8") == "mine"
