"""What all sections of taxiphone.toml have in common."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Needs(Enum):
    """What a changed setting needs before it takes effect; docs/settings.md says how each is done.

    `serve` reads the file once, when it starts, and then writes the files of an embedded Asterisk. The files of an
    Asterisk of the operator's own are written by `taxiphone asterisk config`.
    """

    NOTHING = "nothing"
    SERVE = "restart `serve`"
    RELOAD = "restart `serve`, reload Asterisk"
    ASTERISK = "restart `serve` and Asterisk"


class Section(BaseModel):
    """A table of the file. It is frozen and rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, defer_build=True)

    needs: ClassVar[Needs] = Needs.SERVE
