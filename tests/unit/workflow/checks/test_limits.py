from __future__ import annotations

import pytest

from platefuse.errors import ConfigError
from platefuse.workflow.checks.limits import check_limits


@pytest.mark.parametrize("limits", [{}, {"--cores": None, "--jobs": 1}, {"--cores": 2}])
def test_a_run_with_a_core_can_begin(limits: dict[str, int | None]) -> None:
    check_limits(limits)


def test_each_limit_of_a_run_that_cannot_begin_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        check_limits({"--cores": 0, "--jobs": -1})
    assert caught.value.args == (
        "--cores is 0; expected a whole number above 0, or all.",
        "--jobs is -1; expected a whole number above 0.",
    )
