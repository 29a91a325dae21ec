"""A real export on a disk that fails: whole, or absent, or the one before; and told in words."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from core import disk, durable
from core.engine.merge import merge
from core.errors import CoreError, DiskError
from core.merging import mergeable
from core.recipe import Recipe
from core.rundir import RunDir
from tests.core.disks import FailAt
from tests.engine.conftest import create, go

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
]
QUICK = FailAt(10**9, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


def trained(place: Path, recipe: Recipe) -> RunDir:
    """The same small run for every test."""
    root = place / "run"
    if root.exists():
        return RunDir.open(root)
    run = create(root, recipe.edit("training.max_steps", 1).edit("training.micro_batch", 2))
    go(run)
    return run


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("over", [False, True])
def test_every_call_of_a_real_export_may_fail(
    place: Path, recipe: Recipe, code: int, over: bool
) -> None:
    run = trained(place, recipe)
    told = []
    for number in range(1, 100):
        if run.merged.exists() and not over:
            durable.discard(run.merged)
        if over and not run.merged.exists():
            merge(mergeable(run))
        bad = FailAt(number, code, broken=True)
        try:
            with disk.using(bad):
                merge(mergeable(run))
        except CoreError as error:
            told.append(error)
        with disk.using(QUICK):
            durable.sweep(run.merged.parent)
        whole = run.merged.exists()
        assert whole or not over
        assert not whole or durable.verify(run.merged, alone=True) is None
        assert (
            not run.merged.parent.exists()
            or [path.name for path in run.merged.parent.iterdir()] == ["merged"] * whole
        )
        if not bad.failed:
            break
    assert not bad.failed
    print(f"\n{errno.errorcode[code]}, over another {over}: {len(told)} of {number} calls failed")
    assert len(told) > 10
    assert all(isinstance(error, DiskError) and error.hint for error in told)
    assert all("needed" in str(error) and "free" in str(error) for error in told)
