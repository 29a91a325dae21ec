"""What a recipe says of the rows that are learned from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from core import templates
from core.value import AUTO, EXPERT, Value


def _known_template(given: str) -> str:
    if not templates.is_choice(given):
        raise PydanticCustomError(
            "template", "neither a .jinja file nor one of {names}",
            {"names": ", ".join(one.name for one in templates.CATALOGUE)},
        )  # fmt: skip
    return given


class Source(Value):
    """Further rows to learn from, and how many of them."""

    path: str = Field(
        min_length=1, title="Dataset", description="A file of rows, or a folder of them."
    )
    share: float = Field(
        0.2,
        gt=0,
        lt=1,
        title="Share",
        description="Share of all rows to learn from that are drawn from here, each at most once.",
    )
    rows: int | None = Field(
        None, ge=1, title="Rows", description="A number of rows instead of a share."
    )
    format: str = Field("auto", title="Format", description="How rows are read.")
    columns: dict[str, str] = Field(
        {}, title="Columns", description="Which column plays which part, where names differ."
    )


class Replay(Source):
    """Rows of what the model can do already, so that it does not forget it."""

    path: str = Field(
        "", title="Dataset", description="General conversations, such as those of a chat dataset."
    )
    share: float = Field(
        0.1,
        gt=0,
        lt=1,
        title="Share",
        description="Share of all rows to learn from that are drawn from here. Usual: 0.05 to 0.1.",
    )


class Data(Value):
    """Where the examples come from and how they are read."""

    path: str = Field(
        "",
        title="Dataset",
        description="A file of rows, such as .jsonl, .csv, .parquet or .xlsx, a folder of them, or "
        "a dataset of the Hub as hub:owner/name#split.",
    )
    format: str = Field(
        "auto", title="Format", description="How rows are read; auto recognises it from the rows."
    )
    columns: dict[str, str] = Field(
        {}, title="Columns", description="Which column plays which part, where names differ."
    )
    heldout: str = Field(
        "",
        title="Held-out file",
        description="Rows kept for measuring. Empty: a share of the dataset is set aside.",
    )
    heldout_share: Annotated[float | None, AUTO] = Field(
        None,
        ge=0,
        le=0.5,
        title="Held-out share",
        description="Share of the rows set aside for measuring when there is no held-out file. "
        "Usual: 0.05 to 0.2. Without held-out rows nobody can tell learning from memorising. "
        "Empty: chosen from the number of rows.",
    )
    template: Annotated[str, AfterValidator(_known_template)] = Field(
        "",
        max_length=4096,
        title="Chat template",
        description="How a conversation is written for the model. Empty: the model's own. "
        f"Otherwise one of {', '.join(one.name for one in templates.CATALOGUE)}, or a .jinja file "
        "with generation marks round the answers. It is saved with the result.",
    )
    control_tokens: Literal["text", "tokens"] = Field(
        "text",
        title="Signs in texts",
        description="What becomes of the model's own signs, such as <|im_end|>, that stand in the "
        "rows. text: they are learned as the text that they are, so that no row can end a turn or "
        "speak as the system. tokens: they are kept as signs, for rows that you wrote with them.",
        json_schema_extra=EXPERT,
    )
    mix: tuple[Source, ...] = Field(
        (),
        max_length=20,
        title="Further datasets",
        description="Rows of other datasets to learn from as well, each entry with path, share (of "
        "all rows to learn from) or rows, format and columns. Held-out rows are cut from the first "
        "dataset only.",
    )
    replay: Replay = Field(
        Replay(),
        title="Replay",
        description="Against forgetting: some rows of general data among those to learn from. No "
        "path: none.",
    )

    @property
    def further(self) -> dict[str, Source]:
        """The datasets beside the first, each by its place below `data`."""
        listed: dict[str, Source] = {f"mix.{at}": source for at, source in enumerate(self.mix)}
        return listed | ({"replay": self.replay} if self.replay.path else {})

    @property
    def paths(self) -> tuple[str, ...]:
        """Every dataset that is named."""
        named = (self.path, self.heldout, *(source.path for source in self.further.values()))
        return tuple(filter(None, named))

    @model_validator(mode="after")
    def _something_left_for_the_first(self) -> Data:
        whole = sum(source.share for source in self.further.values() if source.rows is None)
        if whole >= 1:
            raise PydanticCustomError(
                "shares", "the shares in mix and replay add up to {whole}, which leaves no rows of "
                "path", {"whole": f"{whole:g}"},
            )  # fmt: skip
        return self
