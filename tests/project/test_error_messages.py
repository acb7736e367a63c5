"""Every message of ours has a remedy, and the commands that remedies name are there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import latent_agent.errors
import latent_memory.errors
from latent_agent.cli import app
from latent_memory import LatentMemory, LatentMemoryError

ROOT = Path(__file__).parents[2]
SOURCES = ("latent_agent", "memory/latent_memory")
OURS = {
    name
    for module in (latent_agent.errors, latent_memory.errors)
    for name in vars(module)
    if name.endswith("Error")
} | {"UnknownPriorError"}

# Caught where they are raised, and quoted in another message.
PARTS = ("stored latents ", "its checksum does not match")
# One sentence is the rule and the remedy.
WHOLE = ("each line of anchors must be",)
# The cause that it quotes holds the remedy.
QUOTES = ("prior {} is not used: {}",)


def messages() -> Iterator[tuple[str, str]]:
    """Yield where each message of ours is made, and its text with `{}` for what it names."""
    for folder in SOURCES:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                match node:
                    case ast.Call(func=ast.Name(id=name), args=[argument, *_]) if name in OURS:
                        if text := written(argument):
                            yield f"{file.relative_to(ROOT)}:{node.lineno}", text


def written(argument: ast.expr) -> str:
    match argument:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts
            )
    return ""


def test_every_message_has_a_remedy() -> None:
    raised = list(messages())
    assert len(raised) > 150
    bare = [
        f"{where}: {text}"
        for where, text in raised
        if "; " not in text
        and "{remedy}" not in text
        and not text.startswith((*PARTS, *WHOLE, *QUOTES))
    ]
    assert bare == []


def test_the_commands_that_remedies_name_are_there() -> None:
    group = typer.main.get_command(app)
    named = {
        match[1].strip()
        for _, text in messages()
        for match in re.finditer(r"latent-agent((?: [a-z]+)+)", text)
    }
    assert {"memory list", "prior list", "consolidate"} <= named
    for words in named:
        at = group
        for word in words.split():
            commands = getattr(at, "commands", None)
            if commands is None:
                break  # what follows is an argument
            assert word in commands, f"latent-agent {words}"
            at = commands[word]


@pytest.mark.parametrize("content", [b"", b"no database, but a text that is long enough\n" * 9])
def test_what_is_no_memory_is_told_with_a_way_on(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.sqlite3"
    path.write_bytes(content)
    with pytest.raises(LatentMemoryError, match=r"; .*(latent-agent ask|another path)") as caught:
        LatentMemory(path, mode="read").stats()
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    if not content:  # the remedy holds: what asks first makes it
        LatentMemory(path).close()
        assert LatentMemory(path, mode="read").stats().traces == 0
