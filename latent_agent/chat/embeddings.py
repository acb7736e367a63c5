"""A model's own embeddings of questions for LangChain, the very ones that a memory recalls by."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, model_validator

from latent_agent.chat.model_arguments import ModelArguments
from latent_agent.errors import PromptError, SettingError
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel


class LatentSeekEmbeddings(ModelArguments, Embeddings):
    """Texts embedded by a causal LM: the mean over an early layer's hidden states.

    Of a GGUF file in llama.cpp, which gives none of those: the mean of the tokens' embeddings.

    A text is read as a human message, so its embedding is the one that a memory of `ChatLatentSeek`
    holds for that question. Nothing but the LM is needed: one that is in use as a chat model is
    not loaded again.

    ```python
    from langchain_core.vectorstores import InMemoryVectorStore
    from latent_agent import LatentSeekEmbeddings

    store = InMemoryVectorStore(LatentSeekEmbeddings(model="bundled"))
    ```

    The vectors are raw: cosines between them are all high, and only their order is meaningful.

    Attributes:
        model: ``"bundled"``, a Hugging Face id, a local folder, or a loaded model; read at the
            first text.
        tokenizer: Needed beside a loaded model.
        engine, dtype, device, threads, n_ctx, n_gpu_layers, model_kwargs: How it is opened, as for
            `ChatLatentSeek`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _check(self) -> "LatentSeekEmbeddings":
        """Refuse what names no model at once; no weights are read for that."""
        self._shared_model()
        return self

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, several at a time.

        Raises:
            PromptError: If a text does not fit the model's context window.
        """
        return [row.tolist() for row in embed_texts(self._shared_model(), texts)]

    def embed_query(self, text: str) -> list[float]:
        """Embed one text, just as `embed_documents` does.

        Raises:
            PromptError: If it does not fit the model's context window.
        """
        return self.embed_documents([text])[0]


def embed_texts(
    model: SharedModel,
    texts: Sequence[str],
    chat_template_kwargs: Mapping[str, Any] = MappingProxyType({}),
) -> list[torch.Tensor]:
    """Return the embeddings of texts, each (e,) float32 on the CPU.

    Raises:
        SettingError: If one is no text.
        PromptError: If one does not fit the model's context window.
    """
    rows = [_encode(model, text, chat_template_kwargs) for text in texts]
    return [row.cpu() for row in model.engine().embed(rows)]


def _encode(model: SharedModel, text: object, chat_template_kwargs: Mapping[str, Any]) -> list[int]:
    if not isinstance(text, str):
        raise SettingError(f"what is embedded must be text, got {text!r}; give a string")
    ids = encode_chat(model.tokenizer, [Turn("user", text)], (), chat_template_kwargs)
    window = model.context_window
    if window is not None and len(ids) > window:
        raise PromptError(
            f"a text must fit the context window of {window} tokens, got {len(ids)} tokens; split "
            "it first, for example with a RecursiveCharacterTextSplitter"
        )
    return ids
