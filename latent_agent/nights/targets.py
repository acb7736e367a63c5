"""Which nights there are to run: the shelves of a model, or the one that a chat model fills."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol

from latent_agent.call.agent import reward_for
from latent_agent.call.recipes.auto import calibrated
from latent_agent.errors import PriorError, SettingError
from latent_agent.model.options import LoadOptions
from latent_agent.model.places import Place
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.nights.job import NightJob
from latent_agent.nights.search_settings import newest_search
from latent_agent.recall.memory_adapter import Embedder, embedder_name, shelf_reward
from latent_agent.recall.open_memory import open_memory
from latent_agent.recall.stored_search import StoredSearch
from latent_agent.reward import Reward, as_reward
from latent_agent.settings import AUTO, Settings, settings_for
from latent_memory import FEEDBACK, UNRATED, LatentMemory, Shelf, ShelfInfo


class ChatArguments(Protocol):
    """What the night of a chat model depends on; its settings are arguments too."""

    model: Place
    tokenizer: Place
    recipe: str | None
    reward: Any
    memory: Any
    namespace: str
    embeddings: Any

    @property
    def load_options(self) -> LoadOptions:
        """How its model is opened."""
        ...


def shelves_for(
    memory: LatentMemory,
    model: SharedModel,
    namespace: str,
    reward: Reward | None = None,
    embedder: Embedder | None = None,
) -> Sequence[Shelf]:
    """Return a namespace's shelves of a model and an embedder, of all rewards or of one.

    Raises:
        PriorError: If there are none; says what there is instead.
    """
    shelves = memory.shelves()
    name = None if embedder is None else embedder_name(embedder)
    here = {
        info.shelf: newest_search(memory, info.shelf)
        for info in shelves
        if info.shelf.namespace == namespace and info.shelf.reward != UNRATED
    }
    wanted = [
        shelf
        for shelf, searched in here.items()
        if shelf.fingerprint == model.fingerprint(name, searched.template)
        and (reward is None or shelf.reward == shelf_reward(reward.id))
    ]
    if not wanted:
        _refuse_other_embedders(here, model)
        raise PriorError(
            f"there must be traces in namespace {namespace!r} of model "
            f"{model.fingerprint(name)[:8]}"
            f"{'' if reward is None else f' and reward {reward.id!r}'}, got {_listed(shelves)}; "
            "ask questions first, or give another --namespace, --model, --reward or --memory"
        )
    return wanted


def _refuse_other_embedders(here: Mapping[Shelf, StoredSearch], model: SharedModel) -> None:
    for shelf, searched in here.items():
        if searched.embedder is not None and shelf.fingerprint == searched.fingerprint(model):
            raise PriorError(
                "the questions of a night must be embedded as its traces were, got traces in "
                f"namespace {shelf.namespace!r} embedded by {searched.embedder!r}; name it "
                "with --embeddings module:attribute, or run the night from Python: job_for(chat)"
            )


def job_for(chat: ChatArguments, *, rated: bool = False) -> NightJob:
    """Return the night of the shelf that a chat model fills, judged and searched as it does.

    With ``rated`` that of the shelf on which its rated traces lie.

    Raises:
        SettingError: If it keeps no memory that can be written.
    """
    memory = open_memory(chat.memory, "read-write")
    if memory is None:
        raise SettingError(
            f"a night needs a memory, got memory={chat.memory!r}; for example "
            "memory='answers.sqlite3'"
        )
    model = open_model(chat.model, chat.tokenizer, chat.load_options)
    given = {field.name: getattr(chat, field.name, None) for field in fields(Settings)}
    recipe, reward = chat.recipe, chat.reward
    if recipe == AUTO:
        judge = None if reward is None else as_reward(reward)
        used = calibrated(model, given["chat_template_kwargs"] or {}, judge)
        recipe, given = None, used.under(given)
        reward = used.reward if reward is None else reward
    search = settings_for(recipe, **{**given, "stop": None})
    reward = reward_for(search, reward)
    embedder = None if chat.embeddings is None else embedder_name(chat.embeddings)
    shelf = Shelf(
        namespace=chat.namespace,
        fingerprint=model.fingerprint(embedder, search.chat_template_kwargs),
        reward=FEEDBACK if rated else shelf_reward(reward.id),
    )
    return NightJob(
        memory=memory,
        model=model,
        shelf=shelf,
        reward=reward,
        search=search,
        search_source="the chat model's settings",
        embedder=chat.embeddings,
    )


def _listed(shelves: Sequence[ShelfInfo]) -> str:
    rows = [
        f"{info.traces} in {info.shelf.namespace!r} of model {info.shelf.fingerprint[:8]} and "
        f"reward {info.shelf.reward!r}"
        for info in shelves
    ]
    return "; ".join(rows[:5]) or "none at all"
