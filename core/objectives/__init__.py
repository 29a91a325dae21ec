"""Every objective we offer, in the order the window shows them."""

from core.objectives.base import Objective
from core.objectives.cpo import CPO
from core.objectives.distill import Distill
from core.objectives.dpo import DPO
from core.objectives.grpo import GRPO
from core.objectives.kto import KTO
from core.objectives.orpo import ORPO
from core.objectives.ppo import PPO
from core.objectives.pretrain import Pretrain
from core.objectives.reward import Reward
from core.objectives.rloo import RLOO
from core.objectives.sft import SFT
from core.objectives.simpo import SimPO

OBJECTIVES: tuple[type[Objective], ...] = (
    SFT, DPO, KTO, Pretrain, Reward, PPO, GRPO, RLOO, ORPO, SimPO, CPO, Distill,
)  # fmt: skip

__all__ = [
    "CPO", "DPO", "GRPO", "KTO", "OBJECTIVES", "ORPO", "PPO", "RLOO", "SFT", "Distill", "Objective",
    "Pretrain", "Reward", "SimPO",
]  # fmt: skip
