"""Decides which numbers may be dialled, so that nobody can make the platform call a premium-rate number.

A number must pass two allow-lists in [platform] of taxiphone.toml:

- Places: `dial_regions`, such as ["FR", "BE"], and `dial_prefixes`, which narrows them down. Without regions, the prefixes
  define the places. A prefix that is only a country code means that country, not others with the same code (+1 is the
  United States and not Jamaica, +44 Great Britain and not Jersey), unless the platform's own number belongs to one of
  them. A prefix with three or more digits after the country code (+1876) means all numbers that start with it.
- Types: `dial_types`, by default fixed and mobile. Numbers of other types, and numbers that are not in use according to
  phonenumbers, are rejected.

Emergency and short numbers are not E.164 numbers and can't be dialled at all.
"""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumberType

from taxiphone.directory import numbers
from taxiphone.settings_sections import Platform

_KINDS: dict[str, tuple[int, ...]] = {
    "fixed": (PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE),
    "mobile": (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE),
    "voip": (PhoneNumberType.VOIP,),
    "toll-free": (PhoneNumberType.TOLL_FREE,),
    "shared-cost": (PhoneNumberType.SHARED_COST,),
    "premium": (PhoneNumberType.PREMIUM_RATE,),
    "personal": (PhoneNumberType.PERSONAL_NUMBER,),
    "uan": (PhoneNumberType.UAN,),
    "pager": (PhoneNumberType.PAGER,),
    "voicemail": (PhoneNumberType.VOICEMAIL,),
}
_TYPE_NAMES = {
    PhoneNumberType.VOIP: "a VoIP number",
    PhoneNumberType.TOLL_FREE: "a toll-free number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.PERSONAL_NUMBER: "a personal number, which may be forwarded anywhere",
    PhoneNumberType.UAN: "a company's universal access number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.VOICEMAIL: "a voicemail access number",
    PhoneNumberType.FIXED_LINE: "a fixed line",
    PhoneNumberType.MOBILE: "a mobile number",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "a fixed or mobile line",
}
# With this many digits after the country code, a prefix is specific enough without a region.
_SPECIFIC = 3


def refusal(number: str, platform: Platform) -> str | None:
    """Return why a number may not be dialled, as the rest of a sentence that starts with the number; None if it may.

    Args:
        number: in E.164.
        platform: the settings with the allow-lists.
    """
    if not numbers.is_e164(number):
        return "is not an E.164 number"
    return _refused_kind(number, platform) or _refused_place(number, platform)


def _refused_kind(number: str, platform: Platform) -> str | None:
    kind = numbers.kind(number)
    if kind == PhoneNumberType.UNKNOWN:
        return "is a short number, or not in use"
    if any(kind in _KINDS[name] for name in platform.dial_types):
        return None
    named = next(name for name, kinds in _KINDS.items() if kind in kinds)
    return f'is {_TYPE_NAMES[kind]}, and [platform] dial_types does not have "{named}"'


def _refused_place(number: str, platform: Platform) -> str | None:
    matching = [prefix for prefix in platform.dial_prefixes if number.startswith(prefix)]
    if platform.dial_prefixes and not matching:
        return f"starts with none of {', '.join(platform.dial_prefixes)} ([platform] dial_prefixes)"
    if not platform.dial_regions and any(_is_specific(prefix) for prefix in matching):
        return None
    regions = platform.dial_regions or [
        _own_region(prefix, platform.cli) for prefix in matching or [platform.cli]
    ]
    region = numbers.region_of(number)
    if region in regions:
        return None
    return (
        f"is in the region {region}, and only {', '.join(regions)} may be dialled ([platform] dial_regions)"
    )


def _own_region(prefix: str, cli: str) -> str:
    """Return the region of a prefix: the platform's if it has the same country code, otherwise the main one of the code."""
    code = _country_code(prefix)
    if code == _country_code(cli):
        return numbers.region_of(cli) or ""
    return str(phonenumbers.region_code_for_country_code(code))


def _is_specific(prefix: str) -> bool:
    return len(prefix) - len(f"+{_country_code(prefix)}") >= _SPECIFIC


def _country_code(number: str) -> int:
    """Return the country code of an E.164 number or prefix; 0 if there is none."""
    codes = (int(number[1:length]) for length in range(2, min(len(number), 4) + 1))
    return next((code for code in codes if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), 0)
