from __future__ import annotations

import os
import signal
import time

import pytest


@pytest.fixture(autouse=True)
def _no_search(request: pytest.FixtureRequest) -> None:
    if "TORTURE" in os.environ or request.config.getoption("--hypothesis-profile"):
        pytest.skip("searches that take hours have no limit")


def test_a_test_that_hangs_fails() -> None:
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 900
    signal.setitimer(signal.ITIMER_REAL, 0.1)  # as if its time were over
    with pytest.raises(pytest.fail.Exception, match="no end after 900 s"):
        time.sleep(60)


@pytest.mark.slow
def test_a_test_that_is_slow_has_more_time() -> None:
    assert 900 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3600
