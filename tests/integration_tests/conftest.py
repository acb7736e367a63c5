"""What LangChain's standard suites ask that the bundled model was not taught."""

import pytest

# Each needs a call that copies a name or a number out of the prompt, or text that ends by itself
# in a JSON string. Forced calls and JSON are held to their schema whatever the model knows, and
# tests/test_tools.py and tests/test_structured_output.py test that.
_UNTAUGHT = (
    "test_tool_calling",
    "test_tool_calling_async",
    "test_bind_runnables_as_tools",
    "test_tool_choice",
    "test_structured_output",
    "test_structured_output_async",
    "test_structured_output_pydantic_2_v1",
    "test_structured_output_optional_param",
    "test_json_mode",
    "test_agent_loop",
    "test_unicode_tool_call_integration",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect these to fail, strictly: one that passes is to be taken off the list."""
    for item in items:
        if "test_standard" in item.nodeid and item.name.split("[")[0] in _UNTAUGHT:
            reason = "the bundled model is not taught to call tools or to end a JSON string"
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
