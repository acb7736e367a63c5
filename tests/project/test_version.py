"""One version: what is built, and what the changelog says of it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_changelogs_newest_release_is_what_is_built() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", CHANGELOG, re.MULTILINE)
    assert released[0] == PROJECT["version"]
    assert released == sorted(released, key=lambda one: [*map(int, one.split("."))], reverse=True)
    assert len(set(released)) == len(released)


def test_a_release_after_the_first_says_how_to_upgrade() -> None:
    for section in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:-1]:
        if not section.startswith("[Unreleased]"):
            assert "### Upgrading from" in section, section.splitlines()[0]


def test_every_pin_fits_its_bound() -> None:
    """`constraints.txt` may not name what `pyproject.toml` refuses."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in lines if "==" in line)
    }
    extras = PROJECT["optional-dependencies"].values()
    for text in (*PROJECT["dependencies"], *(one for extra in extras for one in extra)):
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text
