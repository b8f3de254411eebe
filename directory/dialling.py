"""Which numbers may be rung. Whoever gets the platform to ring a premium-rate number is paid for it.

A number must pass two lists of [platform] in taxiphone.toml:

- where: `dial_regions`, such as ["FR", "BE"]; and `dial_prefixes`, which narrows them down. Where only prefixes are
  given, they say where: one that is a country code alone means that country, not all that share the code (+1 is the
  United States and not Jamaica, +44 Great Britain and not Jersey), unless the platform's own number is of another
  one of them. One of three digits or more beyond the country code (+1876) means what begins with it.
- what: `dial_types`. Fixed and mobile lines by default. Numbers of any other kind, and numbers that are not in use as
  far as phonenumbers knows, are refused.

Emergency and short numbers are not numbers in E.164, and can't be rung at all.
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
_CALLED = {
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
_SPECIFIC = 3  # digits beyond the country code with which a prefix speaks for itself


def refusal(number: str, platform: Platform) -> str | None:
    """Why a number may not be rung, as the rest of a sentence that begins with the number; None where it may.

    Args:
        number: in E.164.
        platform: whose lists decide.
    """
    if not numbers.is_e164(number):
        return "is not a number in E.164"
    return _refused_kind(number, platform) or _refused_place(number, platform)


def _refused_kind(number: str, platform: Platform) -> str | None:
    kind = numbers.kind(number)
    if kind == PhoneNumberType.UNKNOWN:
        return "is a short number, or not in use"
    if any(kind in _KINDS[name] for name in platform.dial_types):
        return None
    named = next(name for name, kinds in _KINDS.items() if kind in kinds)
    return f'is {_CALLED[kind]}, and [platform] dial_types does not have "{named}"'


def _refused_place(number: str, platform: Platform) -> str | None:
    begins = [prefix for prefix in platform.dial_prefixes if number.startswith(prefix)]
    if platform.dial_prefixes and not begins:
        return f"begins with none of {', '.join(platform.dial_prefixes)} ([platform] dial_prefixes)"
    if not platform.dial_regions and any(_speaks_for_itself(prefix) for prefix in begins):
        return None
    regions = platform.dial_regions or [_own_region(each, platform.cli) for each in begins or [platform.cli]]
    region = numbers.region_of(number)
    if region in regions:
        return None
    return f"is of the region {region}, and the platform rings {', '.join(regions)} ([platform] dial_regions)"


def _own_region(prefix: str, cli: str) -> str:
    """The region that the country code of a prefix stands for: the platform's own, where it has that code; else its main one."""
    code = _country_code(prefix)
    if code == _country_code(cli):
        return numbers.region_of(cli) or ""
    return str(phonenumbers.region_code_for_country_code(code))


def _speaks_for_itself(prefix: str) -> bool:
    return len(prefix) - len(f"+{_country_code(prefix)}") >= _SPECIFIC


def _country_code(number: str) -> int:
    """The country code that an E.164 number, or the beginning of one, begins with; 0: none does."""
    codes = (int(number[1:length]) for length in range(2, min(len(number), 4) + 1))
    return next((code for code in codes if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), 0)
