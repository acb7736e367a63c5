"""What a prompt says of a schema, or of tools that the chat template cannot tell of."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from latent_agent.tools.call import Tool
from latent_agent.tools.type_text import type_text


def schema_instruction(schema: Mapping[str, Any]) -> str:
    """Tell the model to answer in JSON of a schema."""
    return f"Answer with JSON of this form, and nothing else: {type_text(schema)}"


def call_instruction(tools: Sequence[Tool]) -> str:
    """Tell the model to call tools, and how."""
    functions = [json.dumps(tool.spec["function"], ensure_ascii=False) for tool in tools]
    which = "this function" if len(tools) == 1 else "one of these functions"
    return "\n".join(
        [
            f'Call {which}: answer with {{"name": its name, "arguments": a JSON object that fits '
            "its parameters}, and nothing else.",
            *functions,
        ]
    )
