"""The colours of the window, twice: light and dark. Everything that has a colour takes it here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """One set of colours. A pair such as `ok` on `ok_soft` is readable (4.5:1 or better)."""

    dark: bool
    window: str
    """Behind the pages."""
    panel: str
    """Step list, side panel, footer and cards."""
    raised: str
    """Table heads, chips, hovered rows."""
    line: str
    """Hairlines between things; decoration only."""
    control: str
    """Borders of what can be pressed or typed into (3:1 or better)."""
    text: str
    muted: str
    accent: str
    accent_hover: str
    accent_soft: str
    on_accent: str
    ok: str
    ok_soft: str
    warn: str
    warn_soft: str
    bad: str
    bad_soft: str
    track: str
    """The empty part of a bar."""
    series: tuple[str, ...]
    """Parts of a bar and curves of a plot, in this order."""


LIGHT = Theme(
    dark=False,
    window="#f5f6f9",
    panel="#ffffff",
    raised="#eef0f5",
    line="#dfe2e9",
    control="#878d99",
    text="#16181d",
    muted="#565d6b",
    accent="#3a57d6",
    accent_hover="#2f49bd",
    accent_soft="#e6ebfd",
    on_accent="#ffffff",
    ok="#14703c",
    ok_soft="#e2f4e8",
    warn="#8f4700",
    warn_soft="#fdf0dd",
    bad="#b3261e",
    bad_soft="#fce9e7",
    track="#e7e9ef",
    series=(
        "#3a57d6",
        "#0e9f6e",
        "#e0820a",
        "#a83bc4",
        "#7a828e",
        "#0b8fb3",
        "#c2334d",
        "#8a6a12",
    ),
)

DARK = Theme(
    dark=True,
    window="#101216",
    panel="#181b21",
    raised="#232730",
    line="#2b303a",
    control="#6f7786",
    text="#e9ebf0",
    muted="#a4abb8",
    accent="#7d93ff",
    accent_hover="#95a7ff",
    accent_soft="#222c53",
    on_accent="#0c1024",
    ok="#5bd389",
    ok_soft="#14311f",
    warn="#ffb454",
    warn_soft="#3a2a12",
    bad="#ff8a80",
    bad_soft="#40201e",
    track="#262b34",
    series=(
        "#7d93ff",
        "#34d399",
        "#ffb454",
        "#d884f0",
        "#8b93a1",
        "#4cc9ec",
        "#ff8095",
        "#d6b656",
    ),
)
