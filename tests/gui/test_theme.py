"""Colours can be read, follow the theme, and foreign text stays text."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core.places import resources
from gui import theme
from gui.stylesheet import stylesheet
from gui.text import LONGEST, plain, tip, wrappable
from gui.tokens import DARK, LIGHT, Theme
from gui.widgets import Chip, Meter, Notice, PlainLabel, PrimaryButton, QuietButton

GUI = Path(theme.__file__).parent
THEMES = pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
TEXT_PAIRS = (
    ("text", "window"), ("text", "panel"), ("text", "raised"), ("text", "accent_soft"),
    ("text", "ok_soft"), ("text", "warn_soft"), ("text", "bad_soft"), ("muted", "window"),
    ("muted", "panel"), ("muted", "raised"), ("accent", "panel"), ("accent", "window"),
    ("accent", "accent_soft"), ("on_accent", "accent"), ("on_accent", "accent_hover"),
    ("ok", "ok_soft"), ("ok", "panel"), ("warn", "warn_soft"), ("warn", "panel"),
    ("bad", "bad_soft"), ("bad", "panel"),
)  # fmt: skip
SHAPE_PAIRS = (
    ("control", "panel"), ("control", "window"), ("accent", "panel"), ("accent", "track"),
    ("bad", "panel"),
)  # fmt: skip


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = QColor(colour).getRgbF()[:3]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_contrast_is_measured_as_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@THEMES
@pytest.mark.parametrize(("front", "back"), TEXT_PAIRS)
def test_text_can_be_read(tokens: Theme, front: str, back: str) -> None:
    assert contrast(getattr(tokens, front), getattr(tokens, back)) >= 4.5


@THEMES
@pytest.mark.parametrize(("front", "back"), SHAPE_PAIRS)
def test_controls_can_be_seen(tokens: Theme, front: str, back: str) -> None:
    assert contrast(getattr(tokens, front), getattr(tokens, back)) >= 3


@THEMES
def test_parts_of_a_bar_stand_out_from_the_ground(tokens: Theme) -> None:
    assert len(set(tokens.series)) == len(tokens.series)
    for colour in tokens.series:
        assert contrast(colour, tokens.panel) >= 2.7


def test_every_token_is_used() -> None:
    sources = "".join(p.read_text(encoding="utf-8") for p in GUI.rglob("*.py"))
    for field in fields(Theme):
        assert f"${field.name}" in sources or f".{field.name}" in sources, field.name


@THEMES
def test_the_style_sheet_leaves_no_name_open(tokens: Theme) -> None:
    images = {"image_up": "u", "image_down": "d", "image_check": "c"}
    assert "$" not in stylesheet(tokens, images)


def dominant(button: QuietButton) -> str:
    """The colour most of a button's icon is drawn in."""
    image = button.icon().pixmap(24, 24).toImage()
    seen = [
        image.pixelColor(x, y).name()
        for x in range(image.width())
        for y in range(image.height())
        if image.pixelColor(x, y).alpha() == 255
    ]
    return max(set(seen), key=seen.count)


def test_icons_and_palette_follow_the_theme(dressed: QApplication, qtbot: QtBot) -> None:
    button = QuietButton("Open", "folder-open")
    qtbot.addWidget(button)
    assert dominant(button) == LIGHT.text
    theme.apply(dressed, dark=True)
    assert theme.current() is DARK
    assert dominant(button) == DARK.text
    assert dressed.palette().color(QPalette.ColorRole.Window).name() == DARK.window


def test_labels_are_repainted_in_the_new_colours(dressed: QApplication, qtbot: QtBot) -> None:
    label = PlainLabel("MMMM", "muted")
    qtbot.addWidget(label)
    for dark, tokens in ((False, LIGHT), (True, DARK)):
        theme.apply(dressed, dark=dark)
        assert label.palette().color(label.foregroundRole()).name() == tokens.muted


def test_a_chosen_theme_wins_over_the_system(dressed: QApplication) -> None:
    theme.wear(dressed, "dark")
    assert theme.current() is DARK
    theme.wear(dressed, "light")
    assert theme.current() is LIGHT
    theme.wear(dressed, "system")


def icon_names() -> set[str]:
    """Every icon asked for by a constant anywhere in the window's source."""
    asking = {"icon": 0, "set_icon": 1, "set_picture": 1, "IconButton": 0, "show_forward": 1}
    asking |= {"QuietButton": 1, "PrimaryButton": 1, "LinkButton": 1, "FixButton": 1}
    names: set[str] = set()
    for path in GUI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            place = asking.get(called)
            if place is not None and len(node.args) > place:
                value = node.args[place]
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    names.add(value.value)
    return names


def test_every_icon_asked_for_ships(dressed: QApplication) -> None:
    names = icon_names()
    assert {"panel-right", "sparkles", "arrow-right"} <= names
    for name in names:
        assert (resources() / "icons" / f"{name}.svg").is_file(), name
        assert not theme.icon(name, "text").pixmap(16, 16).isNull()


def test_icons_and_fonts_ship_with_their_licences() -> None:
    assert "ISC License" in (resources() / "icons" / "LICENSE").read_text(encoding="utf-8")
    assert "SIL OPEN FONT" in (resources() / "fonts" / "OFL.txt").read_text(encoding="utf-8")
    fonts = {path.stem for path in (resources() / "fonts").glob("*.otf")}
    assert fonts == {"Inter-Regular", "Inter-Medium", "Inter-SemiBold", "Inter-Bold"}


MARKUP = '<img src="file:///etc/passwd"><b>bold</b>'


def test_markup_is_shown_not_obeyed(dressed: QApplication, qtbot: QtBot) -> None:
    label, chip, notice = PlainLabel(MARKUP), Chip(MARKUP), Notice("warn", MARKUP)
    for widget in (label, chip, notice):
        qtbot.addWidget(widget)
    assert label.textFormat() == chip.textFormat() == Qt.TextFormat.PlainText
    assert label.text().replace("\u200b", "") == MARKUP
    assert "<img" not in tip(MARKUP)
    assert tip("") == ""


def test_foreign_text_is_cut_and_cleaned() -> None:
    assert len(plain("x" * 1_000_000)) <= LONGEST + 2
    assert plain("a\u202eb\x1b[0m") == "a�b␛[0m"
    assert plain("two\nlines\tand a tab") == "two\nlines\tand a tab"


def test_long_words_can_be_wrapped_and_stay_the_same_word() -> None:
    path = "/home/somebody/" + "deep/" * 30
    assert wrappable(path).replace("\u200b", "") == path
    assert max(len(word) for word in wrappable(path).split("\u200b")) <= 28
    assert wrappable("short words stay") == "short words stay"


def test_a_label_is_as_high_as_its_text(dressed: QApplication, qtbot: QtBot) -> None:
    label = PlainLabel("word " * 60)
    qtbot.addWidget(label)
    label.resize(600, 400)
    wide = label.sizeHint().height()
    label.resize(200, 400)
    assert label.sizeHint().height() > 2 * wide


def test_buttons_have_names_without_marks(dressed: QApplication, qtbot: QtBot) -> None:
    button = PrimaryButton("&Next")
    qtbot.addWidget(button)
    assert button.accessibleName() == "Next"
    button.setText("&Start training")
    assert button.accessibleName() == "Start training"


def test_a_notice_shows_a_button_only_for_a_fix(dressed: QApplication, qtbot: QtBot) -> None:
    pressed: list[bool] = []
    notice = Notice("warn", "Too long.", "Cut", lambda: pressed.append(True))
    qtbot.addWidget(notice)
    notice.show()
    qtbot.mouseClick(notice.button, Qt.MouseButton.LeftButton)
    assert pressed == [True]
    notice.show_as("ok", "Fine.")
    assert not notice.button.isVisible()
    assert notice.text() == "Fine."


def meter_colours(meter: Meter) -> list[str]:
    image = meter.grab().toImage()
    return [image.pixelColor(x, 8).name() for x in range(2, image.width() - 2)]


def test_a_meter_shows_parts_and_the_limit_when_it_is_passed(
    dressed: QApplication, qtbot: QtBot
) -> None:
    meter = Meter("Memory")
    qtbot.addWidget(meter)
    meter.resize(200, Meter.HEIGHT)
    meter.set_parts([("a", 50), ("b", 50)], 200, "100 of 200")
    colours = meter_colours(meter)
    assert colours[20] == LIGHT.series[0]
    assert colours[70] == LIGHT.series[1]
    assert colours[150] == LIGHT.track
    assert LIGHT.bad not in colours
    meter.set_parts([("a", 150), ("b", 50)], 100, "200 of 100")
    assert LIGHT.bad in meter_colours(meter)
    assert meter.accessibleDescription() == "200 of 100"
