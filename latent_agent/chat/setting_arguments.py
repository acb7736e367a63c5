"""The settings as a chat model's arguments: names, types and meanings stand in `Settings`."""

from dataclasses import fields
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from pydantic import Field, create_model

from latent_agent.settings import Settings

_FIELDS = [
    field for field in fields(Settings) if field.name not in ("stop", "reward_offset", "judge")
]
SETTING_NAMES = tuple(field.name for field in _FIELDS)
"""The settings that a chat model takes as they are; None means not given."""


def _argument(kind: Any, meaning: str) -> Any:
    return kind | None, Field(default=None, description=meaning)


_ARGUMENTS = {field.name: _argument(field.type, field.metadata["meaning"]) for field in _FIELDS}


class SettingArguments(create_model("_Arguments", __base__=BaseChatModel, **_ARGUMENTS)):
    """A chat model with an argument for each setting."""

    if TYPE_CHECKING:  # no type checker knows the names in `Settings` as fields of this class

        def __getattr__(self, name: str) -> Any: ...


def settings_section() -> str:
    """Return a docstring's section with the meaning of each setting."""
    wrapper = TextWrapper(100, " " * 8, " " * 12, break_on_hyphens=False)
    lines = [wrapper.fill(f"{field.name}: {field.metadata['meaning']}") for field in _FIELDS]
    return "\n".join(["Attributes: Key init args, settings", *lines])
