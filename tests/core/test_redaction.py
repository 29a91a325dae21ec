"""No sink repeats a secret."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core import redaction
from core.errors import CoreError, HubError, RecipeError
from core.events import Failed, encode
from core.recipe import Recipe, parse
from core.redaction import HIDDEN, redact
from core.terminal import write

TOKEN = "hf_" + "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1b"
KEY = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0"
SECRETS = (
    TOKEN, KEY, f"Authorization: Bearer {'x' * 20}7", "https://me:pass@hub.example/x",
    f"user=me token={TOKEN}&x=1", f'{{"key": "{KEY}"}}', f"'{TOKEN}'", f"{TOKEN}\n{KEY}",
)  # fmt: skip
HARMLESS = (
    "hf_internal_testing/tiny", "hf_transformers", "the task-force-1234567890123456",
    "Bearer of good news", "scikit sk-learn-based-pipelines", "http://host:8000/v1",
    "hub:owner/name@main#split", "C:\\hf_models\\one", "a@b.example",
)  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    shown = redact(text)
    assert HIDDEN in shown
    for secret in (TOKEN, KEY, "x" * 20, "pass"):
        assert secret not in shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_resembles_one_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_the_very_token_in_use_is_hidden_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = 'pass "word"/ä'
    monkeypatch.setattr(redaction, "_learnt", set())
    redaction.learn(odd)
    redaction.learn("abc")  # too short: it would hide parts of words
    for form in (odd, "pass%20%22word%22%2F%C3%A4", json.dumps(odd)):
        assert HIDDEN in redact(f"x {form} y")
    assert redact("abc") == "abc"
    monkeypatch.setenv("TUNESMITH_API_KEY", "plain-words")
    assert redact("it says plain-words") == f"it says {HIDDEN}"


@pytest.mark.parametrize("piece", ["sk-", "hf_", "://a:", "bearer a", "a-", "://"])
def test_no_text_is_slow_to_search(piece: str) -> None:
    """A pattern that looks ahead without a bound takes minutes here."""
    redact(f"sk-hf_://bearer {piece * 100_000}")


def test_errors_events_tables_and_terminals_repeat_none() -> None:
    error = HubError(f"refused {TOKEN}", hint=f"try {KEY}")
    assert f"{error} {error.hint}" == f"refused {HIDDEN} try {HIDDEN}"
    assert isinstance(error, CoreError)
    line = encode(Failed(error=f"no {TOKEN}", detail=f'say "Bearer {KEY}"'))
    assert json.loads(line)["detail"] == f'say "Bearer {HIDDEN}"'
    assert json.loads(line)["error"] == f"no {HIDDEN}"
    shown = io.StringIO()
    write(json.dumps({"path": f"/x/{TOKEN}"}), shown)
    assert json.loads(shown.getvalue()) == {"path": f"/x/{HIDDEN}"}


def test_a_traceback_in_a_covered_process_repeats_none() -> None:
    code = (
        "import sys; from core.redaction import cover_streams; cover_streams(); "
        "print(sys.argv[1]); raise ValueError(f'bad {sys.argv[1]}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, TOKEN],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(redaction.__file__).parents[1],
    )
    assert done.stdout == f"{HIDDEN}\n"
    assert f"ValueError: bad {HIDDEN}" in done.stderr
    assert TOKEN not in done.stderr


def test_a_recipe_takes_no_secret() -> None:
    for path in ("model", "data.path", "name"):
        with pytest.raises(RecipeError, match="a recipe keeps none") as caught:
            Recipe().edit(path, f"x{'' if path != 'name' else ' '}/{TOKEN}")
        assert caught.value.problems[0].where == path
        assert TOKEN not in str(caught.value)
    with pytest.raises(RecipeError, match="a recipe keeps none"):
        parse({"data": {"mix": [{"path": f"https://me:{KEY}@host/x"}]}})


def test_a_process_is_given_the_secrets_it_needs() -> None:
    given = {"HF_TOKEN": "a", "OPENAI_API_KEY": "b", "TUNESMITH_API_KEY": "c", "PATH": "d"}
    assert redaction.without_secrets(given) == {"PATH": "d"}
    for_hub = redaction.without_secrets(given, *redaction.HUB_SECRETS)
    assert for_hub == {"HF_TOKEN": "a", "PATH": "d"}
