"""The experiments: which there are, what they are compared with, and that what shares runs is the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isograd.architecture import Architecture
from isograd.errors import ArgumentError
from isograd.figures.style import LOOKS
from isograd.reproduction import COLLECTIONS, Experiment, find_experiments
from isograd.runs import presets
from isograd.training.schedules import StepSchedule

EVERY = [
    pytest.param(collection, experiment, id=f"{collection}-{experiment.name}")
    for collection, experiments in COLLECTIONS.items()
    for experiment in experiments
]

# As the chapter prints them.
REPORTED = {
    "shallow": 97.80,
    "basic_conv": 98.78,
    "dbl_conv": 99.06,
    "dbl_conv_relu": 99.23,
    "dbl_conv_relu_text": 99.23,
    "expanded": 99.37,
    "expanded_300": 99.46,
    "expanded_1000": 99.43,
    "double_fc": 99.43,
    "double_fc_300": 99.48,
    "double_fc_1000": 99.47,
    "double_fc_dropout": 99.60,
    "ensemble": 99.67,
}


def test_the_figures_of_the_chapter_are_those_that_it_reports() -> None:
    found = {e.name: e.reported for e in COLLECTIONS["chapter6"] if e.reported is not None}
    assert found == REPORTED


@pytest.mark.parametrize(("collection", "experiment"), EVERY)
def test_every_experiment_is_a_preset_whose_layers_and_schedule_can_be_built(
    collection: str, experiment: Experiment
) -> None:
    assert experiment.preset in presets()
    run = experiment.run(7)
    assert run.seed == 7
    assert run.layers()
    assert run.eta()
    run.augmentation()


def test_the_names_of_experiments_and_groups_are_all_different() -> None:
    for experiments in COLLECTIONS.values():
        names = [experiment.name for experiment in experiments]
        groups = {experiment.group for experiment in experiments if experiment.group}
        assert len({*names, *groups}) == len(names) + len(groups)


@pytest.mark.parametrize(("collection", "experiment"), EVERY)
def test_the_report_can_draw_a_line_for_each_weight(collection: str, experiment: Experiment) -> None:
    run = experiment.run(0)
    parameters = Architecture(run.layers(), run.network.input_shape, run.dtype).parameters
    assert len([path for path in parameters if path.endswith(".weight")]) <= LOOKS


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_experiments_of_one_folder_have_exactly_the_same_runs(collection: str) -> None:
    experiments = {experiment.name: experiment for experiment in COLLECTIONS[collection]}
    for experiment in experiments.values():
        trained = experiments[experiment.folder]
        assert trained.folder == trained.name
        for seed, scale in itertools.product((0, 2), (1.0, 0.1)):
            assert experiment.run(seed, scale) == trained.run(seed, scale)


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_experiments_of_different_folders_have_different_runs(collection: str) -> None:
    runs = {experiment.folder: experiment.run(0) for experiment in COLLECTIONS[collection]}
    for (_, one), (_, other) in itertools.combinations(runs.items(), 2):
        assert one != other


@given(
    which=st.sampled_from([e for experiments in COLLECTIONS.values() for e in experiments]),
    scale=st.floats(0, 1000, exclude_min=True),
)
def test_a_scaled_run_has_scaled_epochs_and_a_schedule_as_long_as_it_had(
    which: Experiment, scale: float
) -> None:
    whole, scaled = which.run(0), which.run(0, scale)
    assert scaled.training.epochs == max(1, round(whole.training.epochs * scale))
    before, after = whole.eta(), scaled.eta()
    if isinstance(before, StepSchedule):
        assert isinstance(after, StepSchedule)
        assert before.epochs == whole.training.epochs
        assert after.epochs == scaled.training.epochs
        assert after.at(0.5) == before.at(0.5)
    else:
        assert after == before
    assert which.run(0, 1.0) == whole


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1000.1])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with pytest.raises(
        ArgumentError, match=r"epochs_scale is .*; expected a number above 0 and at most 1000"
    ):
        COLLECTIONS["chapter6"][0].run(0, scale)


def test_experiments_are_found_by_name_and_by_group_in_their_own_order() -> None:
    assert find_experiments("chapter6") == list(COLLECTIONS["chapter6"])
    found = find_experiments("chapter6", ["unstable_gradient", "shallow", "deep_relu"])
    assert [experiment.name for experiment in found] == ["shallow", "deep_sigmoid", "deep_relu"]
    assert len(find_experiments("chapter6", ["sweep_dbl_conv", "sweep_dbl_conv_relu"])) == 18


@pytest.mark.parametrize(
    ("collection", "names", "message"),
    [
        ("chapter5", [], "COLLECTION is 'chapter5'; expected one of chapter6, mnist"),
        ("mnist", ["fats"], "NAME is 'fats'; did you mean fast\\? mnist has fast, fast_ensemble"),
        ("mnist", ["fast", ""], "NAME is ''"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_what_there_is(
    collection: str, names: list[str], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        find_experiments(collection, names)
