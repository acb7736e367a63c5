"""The tables of attacks and faults name tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = {"docs/attacks.md": 20, "docs/faults.md": 25}


def rows(name: str) -> list[str]:
    lines = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line[:2] == "| "]
    return lines[1:]  # without the head


def named(line: str) -> list[str]:
    return re.findall(r"`(tests/\S+?::\S+?)`", line)


def is_there(test: str) -> bool:
    file, *_, function = test.split("::")
    text = (ROOT / file).read_text("utf-8") if (ROOT / file).is_file() else ""
    if function == "runTest":  # of a state machine
        return (
            re.search(rf"^{test.split('::')[1]} = \w+\.TestCase$", text, re.MULTILINE) is not None
        )
    return re.search(rf"^(async )?def {function}\(", text, re.MULTILINE) is not None


@pytest.mark.parametrize("name", TABLES)
def test_every_row_names_tests_that_there_are(name: str) -> None:
    assert len(rows(name)) >= TABLES[name]
    for row in rows(name):
        assert named(row), f"no test is named in {row}"
        assert [test for test in named(row) if not is_there(test)] == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert not is_there("tests/project/test_tables.py::test_nothing")
    assert not is_there("tests/test_nowhere.py::test_nothing")
    assert not is_there("tests/memory/test_store_machine.py::TestNothing::runTest")
    assert is_there("tests/project/test_tables.py::test_a_test_that_is_not_there_is_noticed")


def test_every_dependency_has_a_reason() -> None:
    page = (ROOT / "docs/dependencies.md").read_text("utf-8")
    wanted = (ROOT / "pyproject.toml").read_text("utf-8").split("dependencies = [")[1]
    for package in re.findall(r'^    "([\w-]+)', wanted.split("]\n")[0], re.MULTILINE):
        assert f"| {package} |" in page, f"{package} has no reason"
