"""A call's arguments, and what answers it: settings, form, memory, agent.

The arguments are the chat model's own, with the call's keywords over them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from latent_agent.call.answer_format import Form
from latent_agent.call.recipes.warn_once import warn_once
from latent_agent.chat.setting_arguments import SETTING_NAMES
from latent_agent.errors import SettingError
from latent_agent.model.options import LOAD_OPTIONS
from latent_agent.model.registry import SharedModel
from latent_agent.reward import FeedbackReward, OutcomeReward, Reward, as_reward
from latent_agent.setting_rules import stop_texts
from latent_agent.settings import AUTO, Settings, settings_for
from latent_agent.tools.schema import ANY_OBJECT
from latent_agent.tools.specs import check_names, forced_by, json_schema, tools_from

if TYPE_CHECKING:
    from latent_agent.call.agent import LatentAgent
    from latent_agent.recall.memory_adapter import TraceMemory

Arguments = Mapping[str, Any]

MOST_LOGPROBS = 20
"""Tokens that may be named with their log-probabilities in one token's place."""


def call_arguments(own: Arguments, given: Arguments, stop: object = None) -> dict[str, Any]:
    """Return a chat model's own arguments with those of one call over them.

    A setting, ``recipe``, ``stop`` or model that the call gives as None is the chat model's own,
    and so are how it is loaded and embeddings in any case. A model comes with a tokenizer of its
    own, or none.
    """
    arguments: dict[str, Any] = {**own, **given, "stop": own["stop"] if stop is None else stop}
    own_names = (*SETTING_NAMES, "recipe")
    arguments |= {name: own[name] for name in own_names if given.get(name) is None}
    arguments |= {name: own[name] for name in (*LOAD_OPTIONS, "embeddings")}
    other = given.get("model") is not None
    arguments["model"] = given["model"] if other else own["model"]
    arguments["tokenizer"] = given.get("tokenizer") if other else own["tokenizer"]
    return arguments


def with_recipe(arguments: Arguments, model: SharedModel) -> dict[str, Any]:
    """Return a call's arguments with what was calibrated for its model, if they ask for that.

    Beside them stands ``used``: what was, in words. Whatever is given stays as it is. The keyword
    ``most`` bounds numbers that were calibrated.
    """
    recipe, reward = arguments["recipe"], arguments["reward"]
    if recipe != AUTO:
        return {**arguments, "used": recipe or "default"}
    from latent_agent.call.recipes.auto import calibrated

    template = arguments["chat_template_kwargs"] or {}
    used = calibrated(model, template, None if reward is None else as_reward(reward))
    used = used.within(arguments.get("most") or {})
    settings = used.under({name: arguments[name] for name in SETTING_NAMES})
    reward = used.reward if reward is None else reward
    told = f"{AUTO}: {used.told}"
    return {**arguments, **settings, "reward": reward, "recipe": None, "used": told}


def named_recipe(recipe: object) -> Any:
    """Return a recipe as settings know it: what is calibrated goes over the default."""
    return None if recipe == AUTO else recipe


def settings_of(arguments: Arguments) -> Settings:
    """Return a call's settings, before or after `with_recipe`.

    Raises:
        SettingError: If the recipe is unknown, or a value is out of range.
    """
    given = {name: arguments[name] for name in SETTING_NAMES}
    recipe = named_recipe(arguments["recipe"])
    return settings_for(recipe, stop=stop_texts(arguments["stop"]), **given)


def agent_of(arguments: Arguments, settings: Settings, model: SharedModel) -> "LatentAgent":
    """Return the agent that answers a call.

    Raises:
        SettingError: If a tool, the schema or the namespace is none.
        RewardError: If the reward is none.
    """
    from latent_agent.call.agent import LatentAgent, reward_for

    reward = reward_for(settings, arguments["reward"])
    if reward.needs_threshold and reward.threshold is None and arguments["threshold"] is None:
        warn_once(
            f"a threshold must be calibrated for the reward {reward.id!r}, got none, so that "
            f"{settings.threshold!r} of the settings holds; run latent-agent calibrate --save and "
            "give recipe='auto', or give threshold="
        )
    form = form_of(arguments)
    memory = _memory(arguments, reward, form)
    if isinstance(reward, FeedbackReward):  # the first start stands: others would be for nothing
        settings = replace(settings, width=1, drafts=1, starts="draft", ties="first")
    return LatentAgent(model, settings, reward, memory, form, _top_logprobs(arguments))


def _top_logprobs(arguments: Arguments) -> int | None:
    """Read OpenAI's ``logprobs`` and ``top_logprobs``."""
    top = arguments.get("top_logprobs")
    if not isinstance(top or 0, int) or not 0 <= (top or 0) <= MOST_LOGPROBS:
        raise SettingError(
            f"top_logprobs must be a whole number from 0 to {MOST_LOGPROBS}, got {top!r}; 5 names "
            "the five likeliest tokens"
        )
    if not arguments.get("logprobs"):
        if top:
            raise SettingError(
                f"top_logprobs needs logprobs=True, got top_logprobs={top!r} alone; give both"
            )
        return None
    return top or 0


def _memory(arguments: Arguments, reward: Reward, form: Form) -> "TraceMemory | None":
    from latent_agent.recall.memory_adapter import TraceMemory
    from latent_agent.recall.open_memory import open_memory

    mode = arguments["memory_mode"]
    memory = open_memory(arguments["memory"], mode)
    if memory is None:
        return None
    namespace, prior = checked_namespace(arguments["namespace"]), arguments["prior"]
    # What only feedback judges has one shelf, whatever form answers have.
    later = isinstance(reward, FeedbackReward)
    return TraceMemory(
        memory,
        namespace,
        (reward if later else form.reward(reward)).id,
        mode,
        arguments["embeddings"],
        prior,
        rateable=True,
        deadline=reward.deadline if isinstance(reward, OutcomeReward) else None,
        conversations=arguments["store_conversations"],
    )


def checked_namespace(namespace: object) -> str:
    """Return a namespace.

    Raises:
        SettingError: If it is no text.
    """
    if not isinstance(namespace, str):
        raise SettingError(
            f"namespace must be a text, got {namespace!r}; for example "
            "config={'configurable': {'namespace': 'ann'}}"
        )
    return namespace


def form_of(arguments: Arguments) -> Form:
    """Return what form a call's answer is to have."""
    choice, several = arguments.get("tool_choice"), arguments.get("parallel_tool_calls")
    tools = tools_from(arguments.get("tools") or ())
    forced = forced_by(choice, tools)
    check_names(tools)
    schema, strict = _response_schema(arguments.get("response_format"))
    return Form(
        tools=() if choice == "none" else tools,
        forced=forced,
        several=not forced if several is None else bool(several),
        schema=schema,
        strict=strict,
    )


def _response_schema(response_format: Any) -> tuple[Mapping[str, Any] | None, bool]:
    """Read OpenAI's ``response_format``."""
    if response_format is None or response_format.get("type") == "text":
        return None, False
    given = response_format.get("json_schema") or {"schema": ANY_OBJECT}
    return json_schema(given["schema"]), bool(given.get("strict"))
