"""Texts that PostgreSQL would refuse."""

from typing import Any

from sqlalchemy import Text, TypeDecorator

_ESCAPE = "\x1a"  # the control character for what cannot be shown


class ExactText(TypeDecorator[str]):
    r"""A text that may hold NUL, which PostgreSQL stores in none.

    NUL becomes ``\x1a0``, and ``\x1a`` itself ``\x1a1``; all other text stays as it is.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: object) -> Any:  # noqa: ARG002
        """Return a text as it is stored."""
        if value is None or ("\0" not in value and _ESCAPE not in value):
            return value
        return value.replace(_ESCAPE, f"{_ESCAPE}1").replace("\0", f"{_ESCAPE}0")

    def process_result_value(self, value: Any, dialect: object) -> Any:  # noqa: ARG002
        """Return a text as it was."""
        if value is None or _ESCAPE not in value:
            return value
        return value.replace(f"{_ESCAPE}0", "\0").replace(f"{_ESCAPE}1", _ESCAPE)
