"""What the documents say is what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core import __version__
from core.cli import SUBCOMMANDS
from core.objectives import DPO
from core.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_documented_recipe_is_the_one_that_is_written() -> None:
    block = re.search(r"```yaml\n(.*?)```", text("docs/recipe.md"), re.S)
    assert block is not None
    assert block[1] == Recipe().to_yaml()


def test_the_documented_pairs_are_the_ones_that_are_written() -> None:
    block = re.findall(r"```yaml\n(.*?)```", text("docs/recipe.md"), re.S)[1]
    assert block in Recipe(objective=DPO()).to_yaml()


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_every_subcommand_is_documented(command: str) -> None:
    assert re.search(rf"^\| `{command}\b", text("docs/terminal.md"), re.M)


def test_the_changelog_begins_with_this_version() -> None:
    newest = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.M)
    assert newest is not None
    assert newest[1] == __version__


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    local = [t for t in targets if "://" not in t and not t.startswith("docs/images/")]
    assert [target for target in local if not (path.parent / target).exists()] == []
