"""Rewards in the engine: weighed, checked, and a user's own file only with consent."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.dataset import Example
from core.engine.asked import Asked, encode_asked
from core.engine.encode import Row, prepare_template, question
from core.engine.load import load_tokenizer
from core.engine.rewarding import scorer
from core.engine.watch import figures
from core.errors import RunError
from core.places import starter
from core.rewards import Exact, Length, Python, Regex
from core.rewards.judged import fingerprint

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
ROW = Asked(Row(7, [1, 2], [False, False]), [{"role": "user", "content": "2 + 2?"}], "4")


def own(path: Path, source: str) -> Python:
    """A reward file and consent to it."""
    path.write_text(source, encoding="utf-8")
    return Python(path=str(path), consent=fingerprint(source.encode()))


def test_rewards_are_weighed_and_told_apart() -> None:
    give = scorer((Exact(weight=2), Length(least=2, weight=-0.5)))
    each = give.each([ROW, ROW], ["4", "no no"])
    assert each == {"exact": [1, 0], "length": [0.5, 1]}
    assert give([ROW, ROW], ["4", "no no"]) == [1.75, -0.5]


def test_a_file_of_ones_own_sees_prompt_answer_and_expected(tmp_path: Path) -> None:
    worth = "len(prompt[0]['content']) + (answer == expected)"
    source = f"def reward(prompt, answer, expected):\n    return {worth}\n"
    assert scorer((own(tmp_path / "mine.py", source),))([ROW], ["4"]) == [7.0]


def test_a_changed_file_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    reward = own(tmp_path / "mine.py", "def reward(*_): return 1\n")
    Path(reward.path).write_text(f"open({str(mark)!r}, 'w')\ndef reward(*_): return 9\n")
    with pytest.raises(RunError, match="is not the one that was consented to"):
        scorer((reward,))
    with pytest.raises(RunError, match="is not the one"):
        scorer((reward.model_copy(update={"consent": ""}),))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise KeyError('x')", "'python' failed: KeyError: 'x' \\(an answer to line 7\\)"),
        ("return float('nan')", "'python' gave nan, which is not a finite number .*line 7"),
        ("return None", "'python' failed: TypeError"),
    ],
)
def test_a_reward_that_fails_ends_the_run(tmp_path: Path, body: str, told: str) -> None:
    give = scorer((own(tmp_path / "mine.py", f"def reward(*_):\n    {body}\n"),))
    with pytest.raises(RunError, match=told):
        give([ROW], ["4"])


@pytest.mark.parametrize("source", ["x = 1\n", "def reward(:\n", "import no_such_module\n"])
def test_a_file_without_a_reward_is_refused_before_the_run(tmp_path: Path, source: str) -> None:
    with pytest.raises(RunError, match="The reward file"):
        scorer((own(tmp_path / "mine.py", source),))


def test_a_hostile_pattern_ends_the_run_in_words() -> None:
    give = scorer((Regex(pattern="(a|aa)+$"),))
    with pytest.raises(RunError, match=r"took too long on one answer .*line 7"):
        give([ROW], ["a" * 200 + "b"])


def test_questions_are_encoded_as_they_will_be_asked() -> None:
    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
    ]
    (asked,) = encode_asked(tokenizer, [Example(3, talk)])
    assert asked.ids == question(tokenizer, talk[:-1])
    assert (asked.messages, asked.expected, asked.place) == (talk[:-1], "4", 3)
    assert asked.learns(len(asked.ids) + 1)
    assert not asked.learns(len(asked.ids))


def test_figures_have_our_names() -> None:
    logs = {"loss": 0.1, "reward": 0.5, "kl": 0.2, "completions/mean_length": 9.0}
    more = {"rewards/exact/mean": 0.25, "rewards/exact/std": 0.1, "entropy": None}
    assert figures(logs | more) == {
        "reward": 0.5, "kl_per_token": 0.2, "length": 9.0, "reward/exact": 0.25,
    }  # fmt: skip
