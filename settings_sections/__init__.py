"""The sections of taxiphone.toml: every setting with its type, its default, what it means, and what a change of it needs.

docs/settings.md (`make docs`) and the file that `taxiphone init` writes are generated from these classes: a string below a
setting is its meaning there, and the examples of its type are its example. Where nothing else is said, a section's `needs`
holds for its settings.
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
