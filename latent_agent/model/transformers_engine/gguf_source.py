"""Models in GGUF form that transformers runs, unpacked: where llama.cpp is not installed."""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from latent_agent.errors import ModelError
from latent_agent.model.gguf.file import GgufFile
from latent_agent.model.gguf.find import find
from latent_agent.model.gguf.header import package
from latent_agent.model.options import LoadOptions
from latent_agent.model.transformers_engine.from_pretrained import FromPretrained
from latent_agent.model.transformers_engine.loading import (
    default_device,
    load_config,
    load_model,
    load_tokenizer,
)
from latent_agent.model.transformers_engine.precision import chosen_dtype
from latent_agent.model.transformers_engine.source import TransformersSource

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine


class UnpackedGguf(TransformersSource):
    """A model in GGUF form, whose weights are unpacked when they are read.

    Args:
        place: As `find` takes it.
        tokenizer: A tokenizer, or where to load it from; None: the file's own.
        options: How it is opened.

    Raises:
        ModelError: If an option is not what it must be.
    """

    def __init__(self, place: str, tokenizer: Any, options: LoadOptions) -> None:
        self._place, self._beside = place, tokenizer
        self._given, self._threads = FromPretrained(options), options.threads
        if self._given.quantisation is not None:
            raise ModelError(
                f"a GGUF file is quantised as it is, got quantization_config for {place!r}; leave "
                "it out"
            )
        self._asked_for = options.engine == "transformers"
        self._read: tuple[GgufFile, Any] | None = None

    @property
    def _opened(self) -> tuple[GgufFile, Any]:
        """The file and the config, read once."""
        if self._read is None:
            package()
            file = find(self._place)
            file.check()
            if len(file.paths) > 1:
                raise ModelError(
                    f"transformers reads a GGUF model of one file, got {len(file.paths)} files of "
                    f"{str(file.path)!r}; join them with llama-gguf-split --merge, or run them "
                    'with llama.cpp: pip install "latent-agent[llama-cpp]"'
                )
            given = {**self._given.everywhere, "gguf_file": file.path.name}
            config = load_config(str(file.path.parent), given)
            config.name_or_path = str(file.path)
            self._read = file, config
        return self._read

    @property
    def config(self) -> Any:
        """The model's config, as the file describes it."""
        return self._opened[1]

    @property
    def _dtype(self) -> str:
        packed = "float32" if self._opened[0].quantisation == "F32" else "bfloat16"
        return chosen_dtype(self._given.dtype, packed, default_device(self._given))

    def precision(self) -> str:
        """Return the data type, and what it was unpacked from."""
        return f"{self._dtype} from {self._opened[0].quantisation}"

    def size(self) -> int:
        """Return how many bytes the file takes."""
        return self._opened[0].size

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Return the file's own tokenizer, or the one that was given."""
        return self._opened[0].tokenizer if self._beside is None else load_tokenizer(self._beside)

    def _model(self) -> "PreTrainedModel":
        from transformers import GgufConfig

        file = self._opened[0]
        if not self._asked_for:
            warnings.warn(
                f"{file.path.name} is unpacked for transformers, as llama.cpp is not installed; it "
                'would be several times faster: pip install "latent-agent[llama-cpp]"',
                stacklevel=2,
            )
        if find_spec("accelerate") is None:
            raise ModelError(
                f"transformers reads GGUF files with the package accelerate, got none for "
                f"{str(file.path)!r}; pip install accelerate, or run the file with llama.cpp: "
                'pip install "latent-agent[llama-cpp]"'
            )
        # Packed, its products are slower than unpacked ones, and the head could not be searched.
        unpacked: Any = GgufConfig(dequantize=True)
        model = load_model(
            str(file.path),
            str(file.path.parent),
            self._dtype,
            self._given,
            gguf_file=file.path.name,
            quantization_config=unpacked,
        )
        assert model.generation_config is not None
        model.generation_config.eos_token_id = sorted(file.stop_ids)
        return model

    def weights(self, engine: "Engine | None") -> str:  # noqa: ARG002 - the file says it
        """Return the file's hash and the data type."""
        return f"transformers {self._opened[0].weights_hash} {self._dtype}"

    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Return what the file says."""
        return self._opened[0].judge_prompts
