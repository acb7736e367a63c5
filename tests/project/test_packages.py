"""How the wheel's packages and modules hang together: read from the sources, not imported."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.project.test_layout import ROOT, SOURCES, write

LARGEST = 44_150  # lines of the wheel, server included. Lower this as the code shrinks


@dataclass(frozen=True)
class Import:
    """That ``module`` imports ``name`` of the module ``source``; a module itself has no name."""

    module: str
    source: str
    name: str = ""


class Wheel:
    """The modules under a root that the wheel holds, and what they import of each other."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, Path] = {}
        for folder in SOURCES:
            for file in sorted((root / folder).rglob("*.py")):
                dotted = ".".join(file.relative_to((root / folder).parent).with_suffix("").parts)
                self.files[dotted.removesuffix(".__init__")] = file
        self.trees = {name: ast.parse(file.read_text()) for name, file in self.files.items()}
        self.imports = [
            one for name, tree in self.trees.items() for one in self._imports(name, tree)
        ]

    def _imports(self, module: str, tree: ast.Module) -> Iterator[Import]:
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=names):
                    yield from (Import(module, one.name) for one in names if one.name in self.files)
                case ast.ImportFrom(module=str(source), names=names) if source in self.files:
                    for one in names:
                        dotted = f"{source}.{one.name}"
                        inner = dotted in self.files
                        yield Import(module, dotted) if inner else Import(module, source, one.name)

    def package(self, module: str) -> str:
        """The package that a module lies in, two names deep: ``latent_agent.call``."""
        top, *inner = module.split(".")
        lies_in_one = len(inner) > 1 or self.files[module].name == "__init__.py"
        return ".".join((top, *inner[:1])) if lies_in_one else top

    def modules_graph(self) -> dict[str, set[str]]:
        return _graph((one.module, one.source) for one in self.imports)

    def packages_graph(self) -> dict[str, set[str]]:
        """Without the three outermost, whose few modules stand above, or below, all packages."""
        pairs = ((self.package(one.module), self.package(one.source)) for one in self.imports)
        return _graph(pair for pair in pairs if all("." in name for name in pair))


def _graph(pairs: Iterator[tuple[str, str]]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = defaultdict(set)
    for importer, imported in pairs:
        if importer != imported:
            graph[importer].add(imported)
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def private(wheel: Wheel) -> list[str]:
    """The imports of a private name, or module, from another package."""
    return [
        f"{one.module} imports {one.source}.{one.name}".removesuffix(".")
        for one in wheel.imports
        if wheel.files[one.module].parent != wheel.files[one.source].parent
        and any(part[:1] == "_" and part[:2] != "__" for part in (*one.source.split("."), one.name))
    ]


def repeated_classes(wheel: Wheel) -> dict[str, list[str]]:
    places: dict[str, list[str]] = defaultdict(list)
    for module, tree in wheel.trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    return {name: modules for name, modules in places.items() if len(modules) > 1}


@pytest.fixture(scope="module")
def wheel() -> Wheel:
    return Wheel(ROOT)


def test_no_modules_import_each_other_in_a_circle(wheel: Wheel) -> None:
    """Nor for their types alone."""
    assert circle(wheel.modules_graph()) == []


def test_no_packages_import_each_other_in_a_circle(wheel: Wheel) -> None:
    assert circle(wheel.packages_graph()) == []


def test_no_package_imports_a_private_name_of_another(wheel: Wheel) -> None:
    assert private(wheel) == []


def test_no_two_classes_have_one_name(wheel: Wheel) -> None:
    assert repeated_classes(wheel) == {}


def test_the_outermost_package_stays_small() -> None:
    entries = [path for path in (ROOT / "latent_agent").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 19


def test_the_wheel_stays_small(wheel: Wheel) -> None:
    lines = sum(len(file.read_text().splitlines()) for file in wheel.files.values())
    assert lines <= LARGEST


# ------------------------------------------------------------------- whether they would be seen


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from latent_agent.call.b import f", "from latent_agent.call.a import g"),
        ("import latent_agent.call.b", "def f():\n    from latent_agent.call import a"),
        (
            "from latent_agent.call import b",
            "if TYPE_CHECKING:\n    from latent_agent.call.a import g",
        ),
    ],
)
def test_a_circle_of_modules_is_seen(tmp_path: Path, one: str, other: str) -> None:
    write(tmp_path, "latent_agent/call/__init__.py", "")
    write(tmp_path, "latent_agent/call/a.py", one)
    assert circle(Wheel(tmp_path).modules_graph()) == []
    write(tmp_path, "latent_agent/call/b.py", other)
    assert len(circle(Wheel(tmp_path).modules_graph())) == 3
    assert circle(Wheel(tmp_path).packages_graph()) == []


def test_a_circle_of_packages_is_seen(tmp_path: Path) -> None:
    for path, source in (
        ("chat/__init__.py", ""),
        ("nights/__init__.py", ""),
        ("chat/a.py", "from latent_agent.nights import b"),
        ("nights/b.py", ""),
        ("nights/c.py", "from latent_agent.chat.d import f"),
        ("chat/d.py", ""),
    ):
        write(tmp_path, f"latent_agent/{path}", source)
    assert len(circle(Wheel(tmp_path).packages_graph())) == 3
    assert circle(Wheel(tmp_path).modules_graph()) == []


@pytest.mark.parametrize("name", ["call._b import f", "call.b import _f", "call import _b"])
def test_a_private_import_is_seen(tmp_path: Path, name: str) -> None:
    for path in ("call/__init__", "call/b", "call/_b", "chat/__init__"):
        write(tmp_path, f"latent_agent/{path}.py", "")
    write(tmp_path, "latent_agent/chat/a.py", f"from latent_agent.{name}")
    assert private(Wheel(tmp_path))
    write(tmp_path, "latent_agent/chat/a.py", "")
    write(tmp_path, "latent_agent/call/c.py", f"from latent_agent.{name}")
    assert not private(Wheel(tmp_path))


def test_two_classes_of_one_name_are_seen(tmp_path: Path) -> None:
    write(tmp_path, "latent_agent/call/a.py", "class A: ...")
    write(tmp_path, "memory/latent_memory/a.py", "def f():\n    class A: ...")
    assert list(repeated_classes(Wheel(tmp_path))) == ["A"]
