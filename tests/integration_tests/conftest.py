"""What LangChain's standard suite asks that the bundled model cannot do."""

import pytest

# It wants a Chinese name of five letters copied, fifteen tokens of this model's; it was taught
# other scripts and copies short words of them only. That no letter of a call is escaped or lost on
# the way is tested in tests/tools/test_tools.py.
_UNABLE = ("test_unicode_tool_call_integration",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect these to fail, strictly: one that passes is to be taken off the list."""
    for item in items:
        if "test_standard" in item.nodeid and item.name.split("[")[0] in _UNABLE:
            reason = "the bundled model copies no long word of another script"
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
