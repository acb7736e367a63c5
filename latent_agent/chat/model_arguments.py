"""Which model: the arguments that the chat model, the embeddings and the retriever share."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from latent_agent.model.held_models import HeldModels
from latent_agent.model.loading import Place
from latent_agent.model.registry import SharedModel, shared_by_copies


class ModelArguments(BaseModel):
    """A model by its name, its folder or as an object; all users of one name share it."""

    model: Place
    tokenizer: Place = None
    dtype: str | None = None
    device: str | None = None
    held_models: HeldModels = Field(default_factory=HeldModels, exclude=True, repr=False)
    """Not to be given: a field, since LangChain's configured copies take over no more than those.
    So a model that a call's config names stays loaded for the next call."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy all but a loaded model and its tokenizer, which the copy shares."""
        return super().__deepcopy__(shared_by_copies(memo, self.model, self.tokenizer))

    def close(self) -> None:
        """Release the model: its weights are freed unless another user holds them.

        So they are when the last object that uses them is dropped. Calls that are under way end as
        usual, and the next one loads the model again. A model object that was handed over stays
        with its loader; a memory stays open.
        """
        object.__setattr__(self, "held_models", HeldModels())  # also where fields are frozen

    def _shared_model(self) -> SharedModel:
        """Return the model; reads no weights."""
        return self.held_models.open(self.model, self.tokenizer, self.dtype, self.device)
