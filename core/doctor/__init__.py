"""The dataset doctor: everything that can be wrong with rows that could be used."""

from core.doctor.balance import Balance, usual_category
from core.doctor.base import Ask, Check, Seen
from core.doctor.boilerplate import Boilerplate
from core.doctor.contamination import Contamination
from core.doctor.control_tokens import ControlTokens
from core.doctor.hollow import HollowAnswers
from core.doctor.json_answers import JsonAnswers
from core.doctor.languages import Languages
from core.doctor.leakage import Leakage
from core.doctor.lengths import Lengths
from core.doctor.near_duplicates import NearDuplicates
from core.doctor.personal import PersonalData
from core.doctor.refusals import Refusals
from core.doctor.same_answers import SameAnswers
from core.doctor.secrets import Secrets
from core.doctor.size import verdict
from core.doctor.spaces import Spaces
from core.doctor.synthetic import Synthetic
from core.doctor.system_prompts import SystemPrompts

CHECKS: tuple[type[Check], ...] = (
    Secrets,
    PersonalData,
    Leakage,
    Contamination,
    ControlTokens,
    NearDuplicates,
    JsonAnswers,
    HollowAnswers,
    Refusals,
    SameAnswers,
    Boilerplate,
    SystemPrompts,
    Languages,
    Lengths,
    Balance,
    Synthetic,
    Spaces,
)
"""Every check, the gravest first; the doctor's findings come in this order."""

__all__ = [
    "CHECKS",
    "Ask",
    "Check",
    "Contamination",
    "Leakage",
    "Seen",
    "Synthetic",
    "usual_category",
    "verdict",
]
