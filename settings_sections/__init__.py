"""The sections of taxiphone.toml: every setting with its type, default, description, and how a change takes effect.

docs/settings.md (`make docs`) and the file that `taxiphone init` writes are generated from these classes. The string below
a setting is its description there, and the examples of its type are its example. A section's `needs` applies to all its
settings without a `Needs` of their own.
"""

from taxiphone.settings_sections.base import Needs, Section
from taxiphone.settings_sections.machine import AsteriskSection, DatabaseSection, Paths, Trunk
from taxiphone.settings_sections.service import Billing, Call, Invoice, Platform, Recording

__all__ = [
    "AsteriskSection",
    "Billing",
    "Call",
    "DatabaseSection",
    "Invoice",
    "Needs",
    "Paths",
    "Platform",
    "Recording",
    "Section",
    "Trunk",
]
