"""What all sections of taxiphone.toml have in common."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Needs(Enum):
    """What must be done for a changed setting to take effect; docs/settings.md has the steps.

    `serve` reads the file once, when it starts, and then writes the configuration of an embedded Asterisk. If the operator
    runs Asterisk, `taxiphone asterisk config` writes it.
    """

    NOTHING = "nothing"
    SERVE = "restart `serve`"
    RELOAD = "restart `serve`, reload Asterisk"
    ASTERISK = "restart `serve` and Asterisk"


class Section(BaseModel):
    """A table of the file. It is frozen and rejects unknown keys."""

    # Only the validator of Settings is used, which contains those of the sections. It is built when the file is read.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, defer_build=True)

    needs: ClassVar[Needs] = Needs.SERVE
