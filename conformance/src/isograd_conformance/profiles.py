"""How many examples the tests draw, and which: the profiles quick and thorough."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from isograd_conformance.options import active

# How many times as many examples as in the quick profile.
FACTORS = {"quick": 1, "thorough": 5}
# The seed that Hypothesis draws first, along with the simplest of all else. As dear as any other example, it
# shows little, and so tests that can afford one alone turn it down.
SIMPLEST = 0
# All but Hypothesis's explanations, whose many further runs are dear where each compiles.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink)


def examples(number: int) -> settings:
    """The settings of a test that draws `number` examples in the quick profile; used as a decorator.

    Quick is derandomised: a failure is one every time. So it is with a seed, which the plugin gives to each
    test; examples of other runs would spoil that, so none are kept then. There is no deadline, which would
    measure the machine.
    No profile of Hypothesis is loaded or changed, so that other tests of the same run keep theirs.
    """
    options = active()
    quick = options.profile == "quick"
    chosen = settings(
        max_examples=max(1, round(number * FACTORS[options.profile] * options.scale)),
        derandomize=quick and options.seed is None,
        deadline=None,
        print_blob=not quick,
        phases=[phase for phase in PHASES if options.shrink or phase is not Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return chosen if options.seed is None else settings(chosen, database=None)
