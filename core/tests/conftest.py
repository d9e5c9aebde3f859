"""Hypothesis profiles: "ci" (the default) repeats the same examples, "thorough" draws new ones and more."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A deadline measures the machine; a drawn graph may well be slow to build.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), derandomize=False, max_examples=500)
settings.load_profile("ci")
