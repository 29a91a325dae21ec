"""Every dataset format we read; where two fit equally well, the first one is taken."""

from core.formats.base import Format, Match, Message, Part, RowError
from core.formats.chat import Chat
from core.formats.completion import Completion
from core.formats.gemini import Gemini
from core.formats.instruct import Instruct
from core.formats.kto import Kto
from core.formats.preference import Preference
from core.formats.prompts import Prompts
from core.formats.ranking import Ranking
from core.formats.sharegpt import ShareGpt
from core.formats.text import Text

FORMATS: tuple[Format, ...] = (
    Chat(),
    ShareGpt(),
    Gemini(),
    Preference(),
    Kto(),
    Ranking(),
    Instruct(),
    Completion(),
    Prompts(),
    Text(),
)

__all__ = ["FORMATS", "Format", "Match", "Message", "Part", "RowError"]
