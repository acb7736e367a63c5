"""LiteLLM against a server, in an environment of its own: it pins other versions of our packages.

::

    python -m venv litellm && litellm/bin/python -m pip install litellm
    python -m tests.server.litellm_client --python litellm/bin/python
"""

import argparse
import os
import subprocess
import sys

from tests.support.served import served

CLIENT = """
import sys
import litellm

given = {"model": "openai/bundled", "api_base": sys.argv[1], "api_key": "none"}
asked = [{"role": "user", "content": sys.argv[2]}]
answer = litellm.completion(messages=asked, **given)
text = answer.choices[0].message.content
assert "Friday" in text, text
chunks = litellm.completion(messages=asked, stream=True, **given)
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert streamed == text, streamed
tool = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
weather = [{"role": "user", "content": "How is the weather in Oslo?"}]
called = litellm.completion(messages=weather, tools=[tool], tool_choice="required", **given)
assert called.choices[0].message.tool_calls[0].function.name == "get_weather"
rows = litellm.embedding(input=["one", "two"], **given).data
assert len(rows) == 2 and len(rows[0]["embedding"]) > 0
try:
    litellm.completion(messages=asked, temperature=3, **given)
except litellm.BadRequestError as error:
    assert "temperature" in str(error)
else:
    raise AssertionError("a wrong temperature was taken")
print("LiteLLM: completion, stream, tools, embedding, an error: all right")
"""
QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


def main() -> None:
    """Run LiteLLM's own calls; exit with 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.litellm_client")
    parser.add_argument("--python", default=sys.executable, help="that of LiteLLM's environment")
    parser.add_argument("--path", default="", help="or a folder that LiteLLM was installed into")
    given = parser.parse_args()
    environment = {
        **os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": given.path,
    }  # fmt: skip
    with served() as server:
        done = subprocess.run(
            [given.python, "-c", CLIENT, server.base, QUESTION], env=environment, check=False
        )
    sys.exit(min(done.returncode, 1))


if __name__ == "__main__":
    main()
