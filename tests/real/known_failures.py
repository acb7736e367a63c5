"""What real models are known to fail at in LangChain's standard suites, and why.

Seen with ``make test-real MODEL=...``; the reasons are the models', not the engines'.
"""

from collections.abc import Mapping

UNTRIED = "nobody has tried this model yet: what it fails at may be its own"

KNOWN: Mapping[str, Mapping[str, str]] = {
    "bundled": {
        "test_unicode_tool_call_integration": "it copies no long word of another script",
    },
    "qwen2.5-coder-0.5b": {},
}
"""Reasons by test, by the beginning of a model's file or folder name. Of these models all else must
pass; what other models fail at is listed, and fails nothing."""


def reason(model: str, test: str) -> str | None:
    """Return why a model may fail at a test; None: it must pass."""
    for name, tests in KNOWN.items():
        if model.startswith(name):
            return tests.get(test)
    return UNTRIED
