"""Nothing of a stranger's files is run, followed or waited for; each is refused in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import asking, launch
from core.converting import convert
from core.dataset import inspect_data
from core.errors import CoreError
from core.models import look
from core.screening import screen
from tests.core.hostile.adapters import (
    ADAPTERS,
    HARMLESS_ADAPTERS,
    PICKLES,
    SEALED,
    STATES,
    pickled,
    saved,
)
from tests.core.hostile.cases import Case, Place
from tests.core.hostile.data import DATA, HARMLESS_DATA
from tests.core.hostile.models import HARMLESS, MODELS, WEIGHTS_OF_OTHERS
from tests.core.hostile.watching import watch

CASES = (*MODELS, *ADAPTERS, *STATES, *SEALED, *PICKLES, *DATA)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    outside = tmp_path / "outside"
    outside.mkdir()
    return Place(tmp_path / "folder", outside, tmp_path / "marker")


def test_the_register_is_large_and_without_doubles() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert len(names) >= 160
    assert len(DATA) >= 45


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_and_does_nothing(case: Case, place: Place) -> None:
    case.make(place)
    with watch() as seen, pytest.raises(CoreError) as caught:
        case.open(place.folder)
    told = str(caught.value)
    assert case.words in told
    assert str(place.folder) in told
    assert caught.value.hint
    assert told.replace("\n", "").isprintable()
    assert not place.marker.exists()
    assert seen.outside(place.folder) == []
    assert seen.sockets == seen.started == []


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_peculiarity_passes_unheeded(name: str, place: Place) -> None:
    HARMLESS[name](place)
    with watch() as seen:
        assert look(place.folder).architecture == "LlamaForCausalLM"
    assert not place.marker.exists()
    opened = {Path(path) for path in seen.opened if Path(path).is_relative_to(place.folder)}
    assert opened
    assert not {path.suffix for path in opened} & WEIGHTS_OF_OTHERS
    assert seen.sockets == seen.started == []


@pytest.mark.parametrize("name", HARMLESS_ADAPTERS)
def test_a_usual_adapter_passes_and_its_base_is_not_followed(name: str, place: Place) -> None:
    HARMLESS_ADAPTERS[name](place)
    with watch() as seen:
        screen(place.folder)
    assert seen.outside(place.folder) == []


@pytest.mark.parametrize("name", HARMLESS_DATA)
def test_rows_are_read_and_what_lies_beside_them_is_not_followed(name: str, place: Place) -> None:
    HARMLESS_DATA[name](place)
    with watch() as seen:
        assert inspect_data(place.folder).rows in (3, 5, 8)
    assert not place.marker.exists()
    assert seen.outside(place.folder) == []
    assert seen.sockets == seen.started == []


def test_what_has_passed_is_judged_again_when_it_has_changed(place: Place) -> None:
    HARMLESS["no consent"](place)
    screen(place.folder)
    with watch() as seen:
        screen(place.folder)
    assert seen.opened == []
    file = place.folder / "config.json"
    file.write_text(file.read_text().replace("false", "true", 1))
    with pytest.raises(CoreError, match="trust_remote_code"):
        screen(place.folder)


def test_the_watcher_sees_what_it_is_for(place: Place) -> None:
    secret = place.outside / "secret"
    secret.touch()
    with watch() as seen:
        secret.read_bytes()
    assert seen.outside(place.folder) == [str(secret)]


PLANTED = ("yaml.py", "json.py", "sitecustomize.py", "usercustomize.py", "core/__init__.py")


def test_modules_planted_in_the_current_folder_are_not_imported(place: Place) -> None:
    for name in PLANTED:
        file = place.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(place.code)
    everywhere = {"PYTHONPATH": f"{place.folder}:", "PYTHONSTARTUP": str(place.folder / "yaml.py")}

    def start(command: list[str], environment: dict[str, str]) -> int:
        return subprocess.run(
            command, cwd=place.folder, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, check=False,
        ).returncode  # fmt: skip

    isolated = asking.engine_command("no such job")
    assert start(isolated, asking.engine_environment() | everywhere) == 2
    assert not place.marker.exists()
    start([sys.executable, "-m", "core.engine"], {**os.environ, **everywhere})
    assert place.marker.exists(), "without isolation nothing was planted"


def test_libraries_keep_what_they_compile_in_our_own_folder(home: Path) -> None:
    given = launch.engine_environment()
    assert Path(given["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(home)
    assert Path(given["TRITON_CACHE_DIR"]).is_relative_to(home)
    assert given["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"


def test_a_crash_while_converting_is_an_error_in_words(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled(lambda _: saved(b"\x80\x02}."))(place)
    crash = "import faulthandler; faulthandler._sigsegv()"
    monkeypatch.setattr(asking, "engine_command", lambda *_: [sys.executable, "-I", "-c", crash])
    out = place.folder.parent / "converted"
    with pytest.raises(CoreError, match="could not be converted") as caught:
        convert(place.folder, out)
    assert "nothing else was harmed" in caught.value.hint
    assert sorted(place.folder.parent.iterdir()) == [place.folder, place.outside]
