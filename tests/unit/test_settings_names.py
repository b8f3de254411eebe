from __future__ import annotations

import pytest
from pydantic import ValidationError

from taxiphone.settings_sections import Platform


@pytest.mark.parametrize("name", ["Taxiphone", "Allô & Cie", "Lignes d'or; 24h", "n" * 64])
def test_a_name_that_a_telephone_can_show_is_taken(name: str) -> None:
    assert Platform(cli="+33199001200", name=name).name == name


@pytest.mark.parametrize(
    "name", ['a" <+33112345678>', "a<b", "a>b", "a\\b", "a\nb", "a\rb", "a\tb", "a\0b", "", "  ", "n" * 65]
)
def test_a_name_that_could_change_the_number_shown_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        Platform(cli="+33199001200", name=name)
