"""Where a conversation's lines come from: a person at a terminal, or a pipe."""

import sys
from collections.abc import Iterable
from typing import Any, Protocol

from latent_agent.errors import SettingError


class LineSource(Protocol):
    """Lines, one after the other."""

    terminal: bool

    def next(self) -> str:
        """Return the next line; raise EOFError after the last one."""
        ...

    def edited(self, text: str) -> str:
        """Let the user edit a text on the line.

        Raises:
            SettingError: If nobody can.
        """
        ...


class Piped:
    """The lines of stdin."""

    terminal = False

    def next(self) -> str:
        """Return the next line."""
        if not (line := sys.stdin.readline()):
            raise EOFError
        return line.rstrip("\r\n")

    def edited(self, text: str) -> str:  # noqa: ARG002
        """Refuse: there is nobody to edit it."""
        raise SettingError(
            "a correction must stand behind the command where nobody can edit a line, got "
            "'/correct' alone; write: /correct THE RIGHT ANSWER"
        )


class Typed:
    """Lines that a person types, with a history that ends with the program.

    What was asked is in no file but the memory's: it can be forgotten there for good.

    Args:
        commands: Names of the commands, which Tab completes.
        terminal: Input and output of prompt_toolkit, if not those of the process.
    """

    terminal = True

    def __init__(self, commands: Iterable[str], **terminal: Any) -> None:
        try:
            from prompt_toolkit import PromptSession
            from prompt_toolkit.completion import WordCompleter
            from prompt_toolkit.shortcuts import CompleteStyle
        except ImportError as error:
            raise SettingError(
                "a conversation on a terminal needs prompt_toolkit, but it cannot be found; run: "
                "pip install 'latent-agent[chat]', or send questions through a pipe"
            ) from error
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", "> ")],
            completer=WordCompleter([f"/{name}" for name in commands], sentence=True),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,  # a menu would keep lines free for itself
            multiline=True,
            prompt_continuation="  ",
            key_bindings=_keys(),
            style=_style(),
            **terminal,
        )

    def next(self) -> str:
        """Read a line."""
        return self._session.prompt()

    def edited(self, text: str) -> str:
        """Let the user edit a text."""
        return self._session.prompt(default=text)


def _keys() -> Any:
    """Enter ends a line, Alt-Enter breaks it; a pasted text keeps its line breaks."""
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    def ended(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    def broken(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    keys.add("enter")(ended)
    keys.add("escape", "enter")(broken)
    return keys


def _style() -> Any:
    """Colours of the terminal's own, readable on a dark ground and on a light one."""
    from prompt_toolkit.styles import Style

    return Style.from_dict({"prompt": "bold"})
