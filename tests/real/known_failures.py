"""What real models are known to fail at in LangChain's standard suites, and why.

Seen with ``make test-real MODEL=...``; the reasons are the models', not the engines'.
"""

from collections.abc import Mapping

KNOWN: Mapping[str, Mapping[str, str]] = {
    "bundled": {
        "test_unicode_tool_call_integration": "it copies no long word of another script",
    },
}
"""Reasons by test, by the beginning of a model's file or folder name."""


def reason(model: str, test: str) -> str | None:
    """Return why a model is known to fail at a test; None: it is not."""
    for name, tests in KNOWN.items():
        if model.startswith(name) and test in tests:
            return tests[test]
    return None
