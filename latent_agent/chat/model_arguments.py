"""Which model: the arguments that the chat model, the embeddings and the retriever share."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from latent_agent.model.held_models import HeldModels
from latent_agent.model.options import LOAD_OPTIONS, EngineName, LoadOptions
from latent_agent.model.places import Place
from latent_agent.model.registry import SharedModel, shared_by_copies


class ModelArguments(BaseModel):
    """A model by its name, its folder or as an object; all users of one name share it."""

    model: Place
    tokenizer: Place = None
    engine: EngineName = "auto"
    dtype: str | None = None
    device: str | None = None
    threads: int | None = None
    n_ctx: int | None = None
    n_gpu_layers: int | None = None
    model_kwargs: dict[str, Any] = Field(default_factory=dict[str, Any])
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

    @property
    def load_options(self) -> LoadOptions:
        """How the model is opened."""
        return LoadOptions(**{name: getattr(self, name) for name in LOAD_OPTIONS})

    def _shared_model(self) -> SharedModel:
        """Return the model; reads no weights."""
        return self.held_models.open(self.model, self.tokenizer, self.load_options)
