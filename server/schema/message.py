"""What every message and body is made of."""

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """Strict: a wrong type is refused, an unknown key too."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
