"""The oldest releases that are allowed, as constraints."""

from pathlib import Path

from dev.lowest import lowest

ROOT = Path(__file__).parents[2]
PROJECT = """
[project]
dependencies = ["Torch>=2.8", "typer>=0.16,<1"]
[project.optional-dependencies]
server = ["fastapi>=0.139"]
docs = ["mkdocs>=1.6,<2"]
dev = ["fastapi>=0.139", "pytest>=8.4"]
"""


def test_ours_are_held_low_and_tools_where_they_are_pinned() -> None:
    found = lowest(PROJECT, "# tested\ntorch==2.13.0\npytest==9.2.0\nfastapi==0.165.0\n")
    assert found == ["fastapi==0.139", "pytest==9.2.0", "torch==2.13.0", "typer==0.16"]


def test_every_bound_of_the_project_is_found() -> None:
    texts = [(ROOT / name).read_text("utf-8") for name in ("pyproject.toml", "constraints.txt")]
    names = {line.partition("==")[0] for line in lowest(*texts)}
    assert {"langchain-core", "transformers", "faiss-cpu", "uvicorn", "pytest"} <= names
