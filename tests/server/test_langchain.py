"""LangChain's standard suites of chat models, through ChatOpenAI, against a server."""

from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.support.served import QUESTION, Served

KEY: Any = "none"  # a text will do, whatever the type says
UNABLE = {
    "test_unicode_tool_call_integration": "the bundled model copies no long word of another script",
}


def chat(server: Served, **given: Any) -> ChatOpenAI:
    return ChatOpenAI(model="bundled", base_url=server.base, api_key=KEY, **given)


def test_a_chat_model_of_langchain_streams_and_keeps_what_is_ours(server: Served) -> None:
    model = chat(server, max_retries=0, extra_body={"latent_agent": {"namespace": "ann"}})
    message = model.invoke(QUESTION)
    assert "Friday" in message.text
    assert message.usage_metadata is not None
    assert "".join(chunk.text for chunk in model.stream(QUESTION)) == message.text


def test_embeddings_of_langchain(server: Served) -> None:
    """Texts are sent as they are: another's tokens mean nothing to this model."""
    embeddings = OpenAIEmbeddings(
        model="bundled", base_url=server.base, api_key=KEY, check_embedding_ctx_length=False
    )
    rows = embeddings.embed_documents([QUESTION, "Hello."])
    assert len(rows) == 2
    assert embeddings.embed_query(QUESTION) == pytest.approx(rows[0], rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema")
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of OpenAI's package
class TestChatOpenAI(ChatModelIntegrationTests):
    """On the bundled model."""

    @pytest.fixture(autouse=True)
    async def _clients(
        self, server: Served, request: pytest.FixtureRequest
    ) -> AsyncGenerator[None]:
        """Its own, so that no connection is left to the garbage collector."""
        if reason := UNABLE.get(request.node.originalname):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        async with openai.DefaultAsyncHttpxClient() as other:
            with openai.DefaultHttpxClient() as one:
                self.given = {
                    "base_url": server.base, "http_client": one, "http_async_client": other,
                }  # fmt: skip
                yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        # ChatOpenAI asks for the usage of a stream by itself at OpenAI's own address alone.
        usual = {"model": "bundled", "api_key": KEY, "max_tokens": 128, "stream_usage": True}
        return {**usual, **self.given}

    @property
    def supports_json_mode(self) -> bool:
        return True
