"""The models that a chat model, or another user, keeps loaded."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import SharedModel, open_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine


class HeldModels:
    """The models that one user holds: those that nobody holds any more are freed.

    What one holds makes it no other user than one that holds something else, so all are equal. A
    deep copy holds the same models; one that was pickled holds none.
    """

    def __init__(self, models: Iterable[SharedModel] = ()) -> None:
        self._models = set(models)

    def open(
        self,
        model: "str | os.PathLike[str] | PreTrainedModel | Engine",
        tokenizer: "str | os.PathLike[str] | PreTrainedTokenizerBase | None" = None,
        options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    ) -> SharedModel:
        """Return what `open_model` does, and hold it."""
        shared = open_model(model, tokenizer, options)
        self._models.add(shared)
        return shared

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeldModels)

    def __hash__(self) -> int:
        return hash(HeldModels)

    def __deepcopy__(self, memo: dict[int, Any]) -> "HeldModels":
        return HeldModels(self._models)

    def __reduce__(self) -> tuple[type["HeldModels"], tuple[()]]:
        return HeldModels, ()
