"""Build everything in resources/starter from nothing but this folder, the same every time.

    python packaging/build_starter.py data        the sample files, byte for byte
    python packaging/build_starter.py model       tokenizer and weights, half an hour on 2 cores
    python packaging/build_starter.py card        measure the model and write its card
    python packaging/build_starter.py all

Run it with the interpreter in .venv: it needs torch and transformers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

STARTER = Path(__file__).resolve().parent.parent / "resources" / "starter"


def main(argv: Sequence[str] | None = None) -> int:
    """Build what was asked for."""
    parser = argparse.ArgumentParser(description="Build the starter model and its sample data.")
    parser.add_argument("part", choices=("data", "model", "card", "all"))
    part = parser.parse_args(argv).part
    if part in ("data", "all"):
        build_data()
    if part in ("model", "all"):
        build_model()
    if part in ("card", "all"):
        build_card()
    return 0


def build_data() -> None:
    """The sample files."""
    from starter_data import write_samples

    write_samples(STARTER / "data")


def build_model() -> None:
    """Tokenizer, then weights."""
    from starter_pretrain import pretrain
    from starter_tokenizer import train_tokenizer

    folder = STARTER / "model"
    train_tokenizer(folder)
    pretrain(folder)


def build_card() -> None:
    """The card, with figures measured now."""
    from starter_card import card

    (STARTER / "model" / "README.md").write_text(card(STARTER / "model"), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
