"""Signs that steer a screen, reorder a line or start a formula are shown as what they are."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper

import pytest

from core import asking
from core.plan_page import _csv
from core.visible import made_visible, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "␛[2J␛]0;owned␇"),
        ("\x00\x7f\x9b", "␀␡�"),
        ("abc\u202ecod.exe", "abc�cod.exe"),
        ("a\u2028b\ufeff", "a�b�"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("नमस्ते 日本 👩\u200d🔬 ­é", "नमस्ते 日本 👩\u200d🔬 ­é"),
    ],
)
def test_what_steers_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert len(visible(text)) == len(text)


def test_a_log_shows_it_too_and_progress_bars_stay() -> None:
    raw = BytesIO()
    log = made_visible(TextIOWrapper(raw, encoding="utf-8"))
    log.write("10 %\r20 %\n\x1b[31mred\n")
    log.flush()
    assert raw.getvalue().decode() == "10 %\r20 %\n␛[31mred\n"
    assert made_visible(StringIO()).getvalue() == ""  # type: ignore[attr-defined]


def test_what_an_engine_prints_steers_no_terminal() -> None:
    told = "x\x1b]0;owned\x07"
    done = subprocess.run(
        asking.engine_command("preview", told, told, told), env=asking.engine_environment(),
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr
    assert b"\x1b" not in done.stderr


def test_cells_of_an_export_are_no_formulas() -> None:
    made = _csv(("a", "b"), [("=cmd|' /C calc'!A0", "+1"), ("@x", "\t=1"), ("x=1", -5)])
    assert made.splitlines()[1:] == ["'=cmd|' /C calc'!A0,'+1", "'@x,'\t=1", "x=1,-5"]


def test_the_probe_would_see_a_signal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.stderr.write(chr(27))"], check=True,
        stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    assert done.stderr == b"\x1b"
