"""The steps of the window, in order. A page is imported when it is first wanted."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gui.pages.base import Page


class PageSpec(NamedTuple):
    """Where to find one page; its class says what it asks and answers for."""

    title: str
    module: str
    name: str
    follows_run: bool = False
    """Whether the page is made with the runner as well as the session."""

    queue: bool = False
    """Whether it is made with the queue as well; such a page stands beside the steps."""

    @property
    def given(self) -> tuple[str, ...]:
        """What of the window the page is made with."""
        return ("session", *["runner"] * self.follows_run, *["desk"] * self.queue)

    def load(self) -> type[Page]:
        """Import the page's class."""
        page: type[Page] = getattr(importlib.import_module(self.module), self.name)
        return page


PAGES = (
    PageSpec("Goal", "gui.pages.goal", "GoalPage"),
    PageSpec("Model", "gui.pages.model", "ModelPage"),
    PageSpec("Data", "gui.pages.data", "DataPage"),
    PageSpec("Method", "gui.pages.method", "MethodPage"),
    PageSpec("Hyperparameters", "gui.pages.hyperparameters", "HyperparametersPage"),
    PageSpec("Memory", "gui.pages.memory", "MemoryPage"),
    PageSpec("Review", "gui.pages.review", "ReviewPage"),
    PageSpec("Run", "gui.pages.run", "RunPage", follows_run=True),
    PageSpec("Result", "gui.pages.result", "ResultPage", follows_run=True),
    PageSpec("Rank", "gui.pages.rank", "RankPage", follows_run=True),
    PageSpec("RLHF", "gui.pages.ladder", "LadderPage", follows_run=True),
    PageSpec("Queue", "gui.pages.queue", "QueuePage", follows_run=True, queue=True),
)
