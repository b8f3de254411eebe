"""The tests named in docs/security.md exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(
    set(
        re.findall(
            r"`((?:unit|scenarios|e2e)/[\w/]+\.py)`", (ROOT / "docs" / "security.md").read_text("utf-8")
        )
    )
)


def test_the_page_names_tests():
    assert len(NAMED) > 30


@pytest.mark.parametrize("name", NAMED)
def test_each_test_that_the_page_names_exists(name):
    assert (ROOT / "tests" / name).is_file()
