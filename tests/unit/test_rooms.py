"""setup.cfg lists the packages that the repository has as folders."""

from __future__ import annotations

from pathlib import Path

from setuptools.config.setupcfg import read_configuration

ROOT = Path(__file__).parents[2]
NOT_INSTALLED = {"bench", "build"}


def test_every_folder_of_code_is_installed_but_the_benchmarks():
    folders = [file.parent.relative_to(ROOT).parts for file in ROOT.rglob("__init__.py")]
    code = {
        ".".join(["taxiphone", *parts])
        for parts in folders
        if not parts or not (parts[0] in NOT_INSTALLED or parts[0].startswith("."))
    }
    assert set(read_configuration(ROOT / "setup.cfg")["options"]["packages"]) == code
