"""What every message and body is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# of a session, for people and links
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class Message(BaseModel):
    """Strict: a wrong type is refused, an unknown key too."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
