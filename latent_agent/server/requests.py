"""What clients send, in OpenAI's names, and what is ours under ``latent_agent``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]  # as SQLite gives them
Namespace = Annotated[str, Field(min_length=1, max_length=200)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Extended(BaseModel):
    """A part of a request to which providers add fields of their own."""

    model_config = ConfigDict(extra="allow", frozen=True)


class CalledFunction(_Extended):
    """The function of a tool call."""

    name: str
    arguments: str = "{}"


class SentToolCall(_Extended):
    """A call that an assistant made."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


class SentMessage(_Extended):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[SentToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class SentFunction(_Extended):
    """What a tool is."""

    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class SentTool(_Extended):
    """A tool that the model may call."""

    type: Literal["function"]
    function: SentFunction


class NamedFunction(_Extended):
    """The name of a function."""

    name: str


class NamedTool(_Extended):
    """A tool that must be called."""

    type: Literal["function"] = "function"
    function: NamedFunction


class SentSchema(_Extended):
    """A schema that an answer must fit."""

    model_config = ConfigDict(populate_by_name=True)

    name: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class TextFormat(_Sent):
    """An answer of plain text."""

    type: Literal["text"]


class JsonFormat(_Sent):
    """An answer that is any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(_Sent):
    """An answer in JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: SentSchema


class StreamOptions(_Sent):
    """What a stream holds."""

    include_usage: bool = False
    include_obfuscation: bool = False


class OwnOptions(_Sent):
    """What no other server knows; each within the operator's bounds.

    Attributes:
        namespace: Whose question it is; by default the key's only one.
        recipe: ``auto``: what was calibrated for the model; else the server's own.
        max_iterations: Rounds of the search at most; 0 is plain generation.
        width: Sets of latents that a round tries.
        drafts: Drafts in one batch.
        timeout: Seconds after which the best answer so far comes.
        max_forwarded_tokens: What the call may spend.
        threshold: An answer whose reward is above it is accepted.
        neighbours: Similar questions recalled.
        chat_template_kwargs: Arguments of the model's chat template.
        progress: Whether a stream tells what the search does.
    """

    namespace: Namespace | None = None
    recipe: str | None = None
    max_iterations: int | None = None
    width: int | None = None
    drafts: int | None = None
    timeout: float | None = Field(default=None, gt=0)
    max_forwarded_tokens: int | None = None
    threshold: float | None = None
    neighbours: Annotated[int, Field(ge=0, le=100)] | None = None
    chat_template_kwargs: dict[str, bool | int | str] | None = None
    progress: bool = False


class _Neutral(_Sent):
    """What other servers know: taken where it changes nothing, refused where it would."""

    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logit_bias: dict[str, float] | None = Field(default=None, max_length=0)
    modalities: list[Literal["text"]] | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


class ChatRequest(_Neutral):
    """A conversation to be answered."""

    model: str
    messages: list[SentMessage] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Count | None = 1
    stop: str | list[str] | None = None
    seed: int | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    response_format: TextFormat | JsonFormat | SchemaFormat | None = Field(
        default=None, discriminator="type"
    )
    tools: list[SentTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    user: str | None = Field(default=None, max_length=512)
    metadata: dict[str, str] | None = Field(default=None, max_length=16)
    store: bool | None = None
    latent_agent: OwnOptions = OwnOptions()

    @property
    def prompt(self) -> Any:
        """All of it that the model reads, as JSON; None: it is nested too deep to be written."""
        parts = {"messages", "tools", "response_format"}
        try:
            return self.model_dump(include=parts, exclude_none=True, by_alias=True)
        except (ValueError, RecursionError):
            return None


class EmbeddingsRequest(_Sent):
    """Texts to be embedded."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Count | None = None
    user: str | None = None


class FeedbackRequest(_Sent):
    """How good an answer was.

    Attributes:
        id: The completion's id, or its ``answer_id`` or ``trace_id`` under ``latent_agent``.
        score: In [0, 1]; may be left out beside a correction.
    """

    id: str | Id
    score: float | None = Field(default=None, ge=0, le=1)
    comment: str | None = Field(default=None, max_length=10_000)
    correction: str | None = Field(default=None, max_length=100_000)
    source: Literal["user", "test", "judge"] = "user"
    namespace: Namespace | None = None
