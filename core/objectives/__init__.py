"""Every objective we offer, in the order the window shows them."""

from core.objectives.base import Objective
from core.objectives.sft import SFT

OBJECTIVES: tuple[type[Objective], ...] = (SFT,)

__all__ = ["OBJECTIVES", "SFT", "Objective"]
