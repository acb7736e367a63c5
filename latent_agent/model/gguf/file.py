"""One model in GGUF form: what its file, or files, say of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_agent.errors import ModelError
from latent_agent.model.fingerprint import file_hash
from latent_agent.model.gguf.check import check_header, check_shards, check_tensors
from latent_agent.model.gguf.header import Header, Tensor, package
from latent_agent.model.gguf.stop_ids import stop_ids
from latent_agent.model.gguf.tokenizer import build_tokenizer, chat_template, token_texts
from latent_agent.model.gguf.weights import HeadWeights, embedding_rows, head_tensor, read_head

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

JUDGE = "latent_agent.judge"


class GgufFile:
    """A model's file, or all files of a model in several; nothing is read before it is needed.

    Args:
        first: The file, or the first of several.
        others: The rest of them, in order.
    """

    def __init__(self, first: Path, *others: Path) -> None:
        self.paths = (first, *others)
        self._read: dict[str, Any] = {}

    @property
    def path(self) -> Path:
        """The file that llama.cpp is given."""
        return self.paths[0]

    def check(self) -> None:
        """Refuse what cannot be searched, without reading weights.

        Raises:
            ModelError: With the rule that the file breaks.
        """
        check_header(self.header)
        check_shards(self._headers)
        check_tensors(self.tensors, self.width)

    @property
    def header(self) -> Header:
        """Metadata, of the first file."""
        return self._headers[0]

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors by name, of all files."""
        return self._once(
            "tensors",
            lambda: {name: each for one in self._headers for name, each in one.tensors.items()},
        )

    @property
    def architecture(self) -> str:
        """llama.cpp's name of it, such as ``qwen2``."""
        return self._needed("general.architecture")

    @property
    def name(self) -> str:
        """The model's name, or the file's where it has none."""
        return self.header.values.get("general.name") or self.path.stem

    @property
    def context_length(self) -> int | None:
        """How many positions the model was trained on, or None if the file does not say."""
        return self.header.values.get(f"{self.architecture}.context_length")

    @property
    def width(self) -> int:
        """How many numbers a latent has (d)."""
        return self._needed(f"{self.architecture}.embedding_length")

    @property
    def block_count(self) -> int:
        """How many layers the model has."""
        return self._needed(f"{self.architecture}.block_count")

    @property
    def vocabulary(self) -> int:
        """How many logits the head makes; a tokenizer may know fewer tokens."""
        return head_tensor(self.tensors).shape[0]

    @property
    def quantisation(self) -> str:
        """How most weights are packed, such as ``Q4_K_M``; ``unknown`` if the file names none."""
        number = self.header.values.get("general.file_type")
        try:
            name: str = package().LlamaFileType(number).name
        except ValueError:
            return "unknown"
        return name.removeprefix("MOSTLY_").removeprefix("ALL_")

    @property
    def size(self) -> int:
        """How many bytes the files take."""
        return sum(header.size for header in self._headers)

    @property
    def stop_ids(self) -> frozenset[int]:
        """Every id that ends an answer."""
        return self._once(
            "stop_ids",
            lambda: stop_ids(
                self.header.values,
                {text: id_ for id_, text in enumerate(token_texts(self.header))},
            ),
        )

    @property
    def chat_template(self) -> str | dict[str, str] | None:
        """The chat template, by name where there are several; None: plain transcripts."""
        return chat_template(self.header)

    @property
    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """The tokenizer, with the chat template; ids are those of llama.cpp."""
        return self._once("tokenizer", lambda: build_tokenizer(self.header, self.stop_ids))

    @property
    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Judge prompts that travel in the file, or None.

        Raises:
            ModelError: If they are no JSON object.
        """
        text: str | None = self.header.values.get(JUDGE)
        try:
            return None if text is None else dict(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelError(
                f"{JUDGE} must be one JSON object, got {str(text)[:60]!r} in {str(self.path)!r} "
                f"({error}); write the file again"
            ) from error

    @property
    def weights_hash(self) -> str:
        """The SHA-256 of the files, whatever they are called; cached, as it takes seconds."""
        return file_hash(self.paths, named=False)

    def head(self, dtype: "torch.dtype | None" = None) -> HeadWeights:
        """Read the LM head; it is not kept.

        Args:
            dtype: Of its weight; None: float32 for a plain head, float16 for a quantised one.
        """
        return read_head(self.header, self.tensors, dtype)

    def embedding_rows(self, ids: Sequence[int]) -> "torch.Tensor":
        """Return the embeddings of tokens, (len(ids), d) float32, without unpacking the rest."""
        return embedding_rows(self.tensors, ids)

    @property
    def _headers(self) -> tuple[Header, ...]:
        return self._once("headers", lambda: tuple(Header(path) for path in self.paths))

    def _needed(self, key: str) -> Any:
        value = self.header.values.get(key)
        if value is None:
            raise ModelError(
                f"a GGUF file must name {key}, got none in {str(self.path)!r}; convert the model "
                "again"
            )
        return value

    def _once(self, name: str, read: Callable[[], Any]) -> Any:
        if name not in self._read:
            self._read[name] = read()
        return self._read[name]
