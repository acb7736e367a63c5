"""``python -m dev.lowest``: constraints with the oldest releases that ``pyproject.toml`` allows.

What the wheel and its extras name is held to its lower bound; torch, and all that only the tests
need, to what ``constraints.txt`` names. Their own dependencies are pip's choice.
"""

import tomllib
from pathlib import Path

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[1]
_PINNED = {"torch"}
_TESTS = {"dev", "docs"}
_BUILT = {"llama-cpp"}
_TOGETHER = {"opentelemetry-sdk"}  # of one release with what an extra names


def lowest(project: str, pins: str) -> list[str]:
    """Return the lines of a constraints file, sorted.

    Args:
        project: The text of ``pyproject.toml``.
        pins: The text of ``constraints.txt``.
    """
    table = tomllib.loads(project)["project"]
    pinned = [line.split("==") for line in pins.splitlines() if "==" in line]
    tested = {str(canonicalize_name(name)): version for name, version in pinned}
    extras = table["optional-dependencies"]
    ours = [*table["dependencies"]]
    ours += [one for name in extras if name not in _TESTS | _BUILT for one in extras[name]]
    held = {name: _bound(Requirement(text)) for text in ours if (name := _name(text))}
    for text in extras["dev"]:
        name = _name(text)
        held.setdefault(name, _bound(Requirement(text)) if name in _TOGETHER else tested[name])
    held |= {name: tested[name] for name in _PINNED}
    return [f"{name}=={version}" for name, version in sorted(held.items())]


def _name(text: str) -> str:
    return canonicalize_name(Requirement(text).name)


def _bound(wanted: Requirement) -> str:
    return next(one.version for one in wanted.specifier if one.operator == ">=")


def main() -> None:
    """Print the constraints."""
    texts = ((_ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt"))
    typer.echo("\n".join(lowest(*texts)))


if __name__ == "__main__":
    typer.run(main)
