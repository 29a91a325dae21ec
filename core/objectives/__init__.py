"""Every objective we offer, in the order the window shows them."""

from core.objectives.base import Objective
from core.objectives.dpo import DPO
from core.objectives.grpo import GRPO
from core.objectives.rloo import RLOO
from core.objectives.sft import SFT

OBJECTIVES: tuple[type[Objective], ...] = (SFT, DPO, GRPO, RLOO)

__all__ = ["DPO", "GRPO", "OBJECTIVES", "RLOO", "SFT", "Objective"]
