"""How many examples the property tests try: a few hundred here, more where more are asked for.

For example
``PROPERTY_EXAMPLES=10000 python -m pytest tests/memory/test_store_machine.py -n 0``.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def examples(count: int, **more: Any) -> settings:
    """Settings of a test that tries ``count`` examples, or as many as the environment says."""
    asked = int(os.environ.get("PROPERTY_EXAMPLES", count))
    return settings(max_examples=asked, deadline=None, suppress_health_check=SLOW, **more)
