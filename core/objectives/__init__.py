"""Every objective we offer, in the order the window shows them."""

from core.objectives.base import Objective
from core.objectives.dpo import DPO
from core.objectives.ppo import PPO
from core.objectives.sft import SFT

OBJECTIVES: tuple[type[Objective], ...] = (SFT, DPO, PPO)

__all__ = ["DPO", "OBJECTIVES", "PPO", "SFT", "Objective"]
