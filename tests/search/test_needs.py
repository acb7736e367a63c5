"""A search that an engine cannot serve is refused before any work is done."""

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.errors import SettingError
from latent_agent.model.fake_engine import FakeEngine
from latent_agent.search import needs
from latent_agent.settings import RECIPES, Settings


def test_what_an_engine_lacks_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {**needs.NEEDS, "flip": frozenset({"block_states"})}
    monkeypatch.setattr(needs, "NEEDS", wanted)
    chat = ChatLatentSeek(model=FakeEngine({}), memory=None)
    with pytest.raises(SettingError, match=r"search='flip' needs .*block_states, got fake.*'grad"):
        chat.invoke("Hello", search="flip")
    assert chat.invoke("Hello").text == "I do not know."


def test_every_recipe_runs_on_every_engine() -> None:
    searches = {recipe.get("search", Settings().search) for recipe in RECIPES.values()}
    assert all(not needs.NEEDS[search] for search in searches)
