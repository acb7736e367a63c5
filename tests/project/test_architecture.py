"""ARCHITECTURE.md names paths, classes and packages that there are, and leaves out no package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("latent_agent", "memory", "migrations")


def named(text: str) -> set[str]:
    """All that the page has in backticks, drawings apart."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))


def missing_paths(text: str) -> list[str]:
    paths = {name for name in named(text) if "/" in name or name.endswith(".py")} - {"memory.py"}
    return sorted(path for path in paths if not (ROOT / path).exists())


def missing_in_drawings(text: str) -> list[str]:
    drawings = "".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL))
    paths = set(re.findall(r"\w+/(?:\w+\.py)?", drawings))
    places = [ROOT / "latent_agent", ROOT / "memory", ROOT / "memory/latent_memory"]
    return sorted(path for path in paths if not any((place / path).exists() for place in places))


def missing_names(text: str) -> list[str]:
    code = "\n".join(
        file.read_text("utf-8") for place in SOURCES for file in (ROOT / place).rglob("*.py")
    )
    missing: list[str] = []
    for name in named(text):
        if not re.fullmatch(r"[A-Z]\w*[a-z]\w*(\.\w+)?", name):
            continue
        class_, _, method = name.partition(".")
        body = re.search(rf"^class {class_}\b.*?(?=^\S|\Z)", code, re.MULTILINE | re.DOTALL)
        if body is None or (method and f"def {method}(" not in body[0]):
            missing.append(name)
    return sorted(missing)


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def test_every_path_is_there(page: str) -> None:
    assert missing_paths(page) == []
    assert missing_in_drawings(page) == []


def test_every_class_and_method_is_there(page: str) -> None:
    assert missing_names(page) == []


def test_every_package_is_described(page: str) -> None:
    folders = [file.parent for place in SOURCES for file in (ROOT / place).rglob("__init__.py")]
    packages = {f"{folder.relative_to(ROOT)}/" for folder in folders} - {"latent_agent/"}
    assert packages - named(page) == set()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`latent_agent/no_such.py`", (["latent_agent/no_such.py"], [], [])),
        ("`agent.py`", (["agent.py"], [], [])),
        ("```text\n--> call/no_such.py\n```", ([], ["call/no_such.py"], [])),
        (
            "`NoSuchClass` and `LatentAgent.no_such`",
            ([], [], ["LatentAgent.no_such", "NoSuchClass"]),
        ),
    ],
)
def test_what_is_not_there_is_noticed(text: str, missing: tuple[list[str], ...]) -> None:
    assert (missing_paths(text), missing_in_drawings(text), missing_names(text)) == missing
