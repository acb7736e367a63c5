"""A LangGraph agent with two tools, conversations in a checkpointer and facts in a store.

It needs `pip install langchain langgraph-checkpoint-sqlite`. It runs unchanged on the bundled
model, which was trained on simple calls; with other wordings it sometimes chooses the wrong tool.
For a real model, whose chat template must support tools:

    MODEL=path/to/model.gguf python examples/tool_agent.py

MODEL may also be a Hugging Face id or folder. Traces are separated by the namespace in the config,
conversations by the thread.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.store.memory import InMemoryStore

from latent_agent import ChatLatentSeek

MODEL = os.environ.get("MODEL", "bundled")


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two integers."""
    return a * b


@tool
def get_weather(city: str, runtime: ToolRuntime[None, dict[str, Any]]) -> str:
    """Get the weather in a city."""
    known = runtime.store.get(("weather",), city) if runtime.store else None
    return known.value["text"] if known else "unknown"


store = InMemoryStore()
store.put(("weather",), "Rome", {"text": "sunny"})

with (
    tempfile.TemporaryDirectory() as folder,
    SqliteSaver.from_conn_string(str(Path(folder) / "talks.sqlite3")) as talks,
):
    chat = ChatLatentSeek(model=MODEL, memory=Path(folder) / "memory.sqlite3", max_tokens=200)
    agent = create_agent(chat, [multiply, get_weather], checkpointer=talks, store=store)
    config: RunnableConfig = {"configurable": {"thread_id": "ann-1", "namespace": "ann"}}
    kept = 0
    for text in ("What is the weather in Rome?", "What is 6 * 7?"):
        messages = agent.invoke({"messages": [HumanMessage(text)]}, config)["messages"]
        for message in messages[kept:]:
            for call in getattr(message, "tool_calls", ()):
                print(f"calls {call['name']}({call['args']})")
            print(f"{message.type}: {message.text}")
        kept = len(messages)
    print(f"{kept} messages are kept in this thread")
