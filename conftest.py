"""Doctests draw the same numbers every time, as the other tests do by seeds of their own."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded(request: pytest.FixtureRequest) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        torch.manual_seed(0)
