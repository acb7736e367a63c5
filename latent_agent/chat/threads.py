"""Threads for many calls at once: they share passes of the model, so they need not wait in line.

LangChain's own threads are as many as suit the cores, which here would keep the model's batch
small.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, run_in_executor

from latent_agent.settings import CALLS
from latent_memory.fork_renewal import in_forked_child

P = ParamSpec("P")
R = TypeVar("R")

# One for each event loop, as asyncio's own: a call may start a loop of its own and wait for it.
_threads: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()
in_forked_child(_threads.clear)  # where their threads are gone


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do work in a thread, in the context of whoever awaits it."""
    loop = asyncio.get_running_loop()
    if loop not in _threads:
        _threads[loop] = ThreadPoolExecutor(CALLS, thread_name_prefix="latent-agent")
    return await run_in_executor(_threads[loop], copy_context().run, work, *args, **kwargs)


def at_once(
    config: RunnableConfig | Sequence[RunnableConfig] | None, inputs: int, most: int | None = None
) -> list[RunnableConfig]:
    """Return a config for each input of a batch, in which many run at once: ``most``, or `CALLS`.

    ``max_concurrency`` in the config says otherwise.
    """
    configs = get_config_list(config, inputs)
    for each in configs[:1]:  # LangChain looks at the first
        if each.get("max_concurrency") is None:
            each["max_concurrency"] = min(most or CALLS, CALLS)
    return configs
