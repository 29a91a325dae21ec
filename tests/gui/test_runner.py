"""A run is started, watched, steered, left alone and found again; real child processes throughout."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pytestqt.qtbot import QtBot

from core import launch
from core.errors import CoreError
from core.events import Failed, Started, Step, encode
from core.plan import Facts, Plan, make_plan
from core.recipe import Recipe
from core.rundir import RunDir
from gui.runner import Runner
from tests.gui.conftest import SMALL, STANDIN
