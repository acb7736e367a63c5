"""Which package may import which: read from the sources, without importing them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("latent_agent", "memory/latent_memory", "migrations/latent_migrations")

LANGCHAIN = ("langchain", "langchain_core", "langgraph", "langsmith")
SQL = ("sqlalchemy", "alembic", "sqlite3")

# The packages of latent_agent; each imports only from those before it.
ORDER = (
    *("tools", "model", "reward", "teaching", "search", "recall", "call"),
    *("telemetry", "chat", "nights", "doctor", "evaluation", "server", "cli"),
)


@dataclass(frozen=True)
class Rule:
    """The files that match `paths` (globs from the root) import none of `forbidden`."""

    paths: tuple[str, ...]
    forbidden: tuple[str, ...]


RULES = (
    Rule(
        ("memory/latent_memory/**/*.py",),
        ("latent_agent", "torch", "transformers", *LANGCHAIN),
    ),
    Rule(("migrations/latent_migrations/**/*.py",), ("latent_agent",)),
    Rule(
        (
            "latent_agent/search/refine.py",
            "latent_agent/search/types.py",
            "latent_agent/search/policy_gradient.py",
            "latent_agent/search/position_selection.py",
            "latent_agent/search/token_flip.py",
            "latent_agent/search/boundary_step.py",
            "latent_agent/search/prefix.py",
            "latent_agent/recall/prior_network.py",
            "latent_agent/reward/**/*.py",
        ),
        (*SQL, *LANGCHAIN, "latent_agent.chat.chat_model", "latent_agent.ChatLatentSeek"),
    ),
    Rule(
        (
            "latent_agent/model/logits_mask.py",
            "latent_agent/call/answer_format.py",
            "latent_agent/tools/[!s]*.py",
        ),
        (*SQL, *LANGCHAIN, "latent_agent.tools.specs"),
    ),
    Rule(
        ("latent_agent/teaching/**/*.py",),
        ("latent_agent.chat.chat_model", "latent_agent.ChatLatentSeek"),
    ),
)


def imported_names(source: str) -> Iterator[str]:
    """Yields every dotted name that `source` imports, at any depth, relative ones with dots.

    `from a import b` yields both `a` and `a.b`, since `b` may be a module; a literal
    `import_module("a")` or `__import__("a")` counts as an import too.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                package = "." * node.level + (node.module or "")
                yield package
                yield from (f"{package}.{alias.name}" for alias in node.names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def violations(root: Path, rule: Rule) -> list[str]:
    """The imports under `root` that break `rule`, each as "file imports name"."""
    files = sorted({file for pattern in rule.paths for file in root.glob(pattern)})
    return [
        f"{file.relative_to(root)} imports {name}"
        for file in files
        for name in imported_names(file.read_text(encoding="utf-8"))
        if any(name == banned or name.startswith(f"{banned}.") for banned in rule.forbidden)
    ]


def relative_imports(root: Path) -> list[str]:
    return [
        f"{file.relative_to(root)} imports {name}"
        for folder in SOURCES
        for file in sorted((root / folder).rglob("*.py"))
        for name in imported_names(file.read_text(encoding="utf-8"))
        if name.startswith(".")
    ]


def upward_imports(root: Path) -> list[str]:
    """Imports within latent_agent from a package that does not come before in ORDER."""
    rules = [
        Rule((f"latent_agent/{package}/**/*.py",), tuple(f"latent_agent.{name}" for name in later))
        for place, package in enumerate(ORDER)
        for later in [ORDER[place + 1 :]]
    ]
    return [one for rule in rules for one in violations(root, rule)]


def write(root: Path, path: str, source: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.paths[0])
def test_imports_go_one_way(rule: Rule) -> None:
    assert violations(ROOT, rule) == []


def test_packages_import_only_from_those_before_them() -> None:
    folders = {file.parent.name for file in (ROOT / "latent_agent").glob("*/__init__.py")}
    assert folders == set(ORDER)
    assert upward_imports(ROOT) == []


def test_an_upward_import_is_seen(tmp_path: Path) -> None:
    write(tmp_path, "latent_agent/model/one.py", "def f():\n    import latent_agent.call.two")
    write(tmp_path, "latent_agent/call/two.py", "from latent_agent.model.one import f")
    assert upward_imports(tmp_path) == ["latent_agent/model/one.py imports latent_agent.call.two"]


def test_no_import_is_relative() -> None:
    assert relative_imports(ROOT) == []


@pytest.mark.parametrize(
    "path",
    [
        "latent_agent/search/refine.py",
        "latent_agent/reward/__init__.py",
        "latent_agent/teaching/__init__.py",
        "memory/latent_memory/__init__.py",
        "migrations/latent_migrations/__init__.py",
    ],
)
def test_the_rules_have_something_to_read(path: str) -> None:
    assert (ROOT / path).is_file(), f"{path} has moved: name its new place in RULES"


@pytest.mark.parametrize("folder", SOURCES)
def test_every_package_is_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("memory/latent_memory/store.py", "from latent_agent import settings"),
        ("memory/latent_memory/store.py", "def load():\n    import torch.nn"),
        ("memory/latent_memory/deep/index.py", "from langchain_core.messages import AIMessage"),
        (
            "migrations/latent_migrations/env.py",
            "import importlib\nimportlib.import_module('latent_agent.call.agent')",
        ),
        ("latent_agent/search/refine.py", "if TYPE_CHECKING:\n    import sqlalchemy.orm"),
        ("latent_agent/recall/prior_network.py", "from langchain_core import messages"),
        (
            "latent_agent/reward/judge.py",
            "from langchain_core.runnables import Runnable",
        ),
        ("latent_agent/teaching/world.py", "from latent_agent.chat import chat_model"),
        (
            "latent_agent/teaching/world.py",
            "from latent_agent.chat.chat_model import ChatLatentSeek",
        ),
        ("latent_agent/teaching/world.py", "from latent_agent import ChatLatentSeek"),
    ],
)
def test_a_forbidden_import_is_seen(tmp_path: Path, path: str, source: str) -> None:
    write(tmp_path, path, source)
    assert [broken for rule in RULES for broken in violations(tmp_path, rule)]


@pytest.mark.parametrize("source", ["from . import x", "from .x import y", "from ..x import y"])
def test_a_relative_import_is_seen(tmp_path: Path, source: str) -> None:
    write(tmp_path, "latent_agent/call/agent.py", source)
    assert relative_imports(tmp_path)


@pytest.mark.parametrize(
    "source",
    ["import torch", "from latent_agent.settings import Settings", "import latent_agent_extras"],
)
def test_an_allowed_import_passes(tmp_path: Path, source: str) -> None:
    write(tmp_path, "latent_agent/search/refine.py", source)
    assert [broken for rule in RULES for broken in violations(tmp_path, rule)] == []
