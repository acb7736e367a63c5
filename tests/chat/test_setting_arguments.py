"""Each setting is an argument of the chat model, with the meaning that stands in `Settings`."""

from dataclasses import fields

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.settings import Settings

OTHERS = ("stop", "reward_offset", "judge")
SETTINGS = [field for field in fields(Settings) if field.name not in OTHERS]


@pytest.mark.parametrize("field", SETTINGS, ids=lambda field: field.name)
def test_a_setting_is_an_argument_with_its_meaning(field):
    argument = ChatLatentSeek.model_fields[field.name]
    assert (argument.default, argument.annotation) == (None, field.type | None)
    assert argument.description == field.metadata["meaning"]
    assert ChatLatentSeek.__doc__ is not None
    section = ChatLatentSeek.__doc__.partition("Attributes: Key init args, settings")[2]
    assert f"{field.name}: {field.metadata['meaning']}" in " ".join(section.split())
