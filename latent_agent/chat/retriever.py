"""The trace memory as a LangChain retriever: past questions and answers as documents."""

from typing import Any, Literal

import numpy as np
from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field, model_validator

from latent_agent.chat.call_config import prepared, with_namespace
from latent_agent.chat.embeddings import embed_texts
from latent_agent.chat.memory_argument import discreet_arguments
from latent_agent.chat.model_arguments import ModelArguments
from latent_agent.errors import SettingError
from latent_agent.recall.memory_adapter import embedder_name
from latent_agent.recall.open_memory import open_memory
from latent_agent.recall.rated import not_rated, rated_right
from latent_memory import FEEDBACK, UNRATED, LatentMemory, Neighbour
from latent_memory.trace import Vector
from latent_memory.validation import check_name


class TraceRetriever(ModelArguments, BaseRetriever):
    """Finds what was asked and answered before, out of the memory of a `ChatLatentSeek`.

    ```python
    from latent_agent import TraceRetriever

    documents = TraceRetriever(model="bundled", k=3).invoke("How many apples are left?")
    documents[0].metadata["answer"]
    ```

    A document's text is the question, an empty line and the answer. Its metadata are ``trace_id``,
    ``namespace``, ``reward`` (the answer's, in [-1, 0]), ``similarity``, ``answer`` and ``created``
    (UTC, ISO 8601). Answers of all rewards are returned; those of another model or namespace never
    are. What was rated wrong, or waits for a rating, is left out; of a corrected answer the
    correction is returned. Traces whose texts were not stored make no documents.

    Attributes:
        model: The model that the questions were put to.
        tokenizer: Needed beside a loaded model.
        memory: ``"default"``, a path, a URL, or a ``LatentMemory``.
        memory_mode: ``"read"`` leaves the file as it is, and wants one that is there.
        namespace: Whose questions are looked at. A call may name its own:
            ``config={"configurable": {"namespace": "ann"}}``.
        embeddings: What the chat model finds similar questions with, if it is given any.
        chat_template_kwargs: The chat model's.
        k: Documents at most; a call may say otherwise: ``invoke("...", k=1)``.
    """

    memory: Any = "default"
    memory_mode: Literal["read-write", "read"] = "read-write"
    namespace: str = "default"
    embeddings: Any = None
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    k: int = Field(default=4, strict=True)

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _show_no_password(cls, values: Any) -> Any:
        return discreet_arguments(values)

    @model_validator(mode="after")
    def _check(self) -> "TraceRetriever":
        """Refuse bad arguments at once; no weights are read for that."""
        _checked_k(self.k)
        self._shared_model()
        if self.memory is None:
            raise SettingError(
                "a retriever needs a memory, got memory=None; for example "
                "memory='answers.sqlite3', the one that the chat model keeps"
            )
        return self

    invoke = prepared(BaseRetriever.invoke, with_namespace)
    ainvoke = prepared(BaseRetriever.ainvoke, with_namespace)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        return await run_in_executor(
            None,
            lambda: self._get_relevant_documents(
                query, run_manager=run_manager.get_sync(), **given
            ),
        )

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - the base's name
        **given: Any,
    ) -> list[Document]:
        k = _checked_k(given.get("k", self.k))
        namespace = check_name("namespace", given.get("namespace", self.namespace))
        memory = open_memory(self.memory, self.memory_mode)
        if memory is None:  # the default place cannot be written, which was warned of
            return []
        neighbours = self._recalled(memory, query, namespace, k)
        nearest = sorted(neighbours, key=lambda one: (-one.similarity, one.stored.id))[:k]
        return [_document(one) for one in nearest if one.stored.trace.query is not None]

    def _recalled(
        self, memory: LatentMemory, query: str, namespace: str, k: int
    ) -> list[Neighbour]:
        """Return the nearest traces of each of a namespace's shelves.

        What was rated wrong is left out, and what waits for a rating.
        """
        embedder = None if self.embeddings is None else embedder_name(self.embeddings)
        fingerprint = self._shared_model().fingerprint(embedder, self.chat_template_kwargs)
        shelves = [
            info.shelf
            for info in memory.shelves()
            if info.shelf.namespace == namespace
            and info.shelf.fingerprint == fingerprint
            and info.shelf.reward != UNRATED
        ]
        if not shelves:
            return []
        embedding = self._embed(query)
        return [
            one
            for shelf in shelves
            for one in (rated_right if shelf.reward == FEEDBACK else not_rated)(
                memory, embedding, shelf, k
            )
        ]

    def _embed(self, query: str) -> Vector:
        if self.embeddings is not None:
            return np.asarray(self.embeddings.embed_query(query), np.float32)
        return embed_texts(self._shared_model(), [query], self.chat_template_kwargs)[0].numpy()


def _checked_k(k: Any) -> int:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise SettingError(f"k must be a whole number, got {k!r}; give 1 or more")
    return k


def _document(neighbour: Neighbour) -> Document:
    trace = neighbour.stored.trace
    return Document(
        id=str(neighbour.stored.id),
        page_content=f"{trace.query}\n\n{trace.answer}",
        metadata={
            "trace_id": neighbour.stored.id,
            "namespace": trace.shelf.namespace,
            "reward": float(trace.score),
            "similarity": float(neighbour.similarity),
            "answer": trace.answer,
            "created": neighbour.stored.created.isoformat(),
        },
    )
