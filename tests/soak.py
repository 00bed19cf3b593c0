"""What is too slow for every run: ``make soak`` sets the environment variable."""

from __future__ import annotations

import os

import pytest

SOAK = "MINILM_SOAK_TEXTS" in os.environ
needs_soak = pytest.mark.skipif(not SOAK, reason="too slow for every run; see make soak")
