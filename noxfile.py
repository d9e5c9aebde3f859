"""The project's sessions: `nox` runs the tests, lint and types; `nox -s demo` trains a network."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["tests", "lint", "types"]
nox.options.error_on_missing_interpreters = False

# All editable packages go into one call: pip then takes each from here and none from an index.
PACKAGES = ["-e", "core", "-e", "backends/numpy", "-e", "datasets/mnist"]
TEST_TOOLS = ["pytest>=8.2", "hypothesis>=6.100", "coverage[toml]>=7.5", "mpmath", "pillow", "matplotlib"]
SOURCES = ["core", "backends", "datasets", "benchmarks", "noxfile.py"]


def install(session: nox.Session, *packages: str) -> None:
    session.install("-c", "constraints.txt", *packages)


@nox.session
def tests(session: nox.Session) -> None:
    """Every test, with branch coverage; arguments go to pytest."""
    install(session, *PACKAGES, *TEST_TOOLS)
    # The tests' matrices are tiny: threads would only wait for each other.
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    session.run("coverage", "run", "-m", "pytest", *session.posargs, env=one_thread)
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff's rules and its format."""
    install(session, "ruff>=0.9")
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """mypy in strict mode over all distributions."""
    install(session, *PACKAGES, "mypy>=1.15", "pytest", "hypothesis", "nox", "matplotlib", "pillow")
    session.run("mypy", "core/src", "backends/numpy/src", "datasets/mnist/src", "noxfile.py")


@nox.session
def demo(session: nox.Session) -> None:
    """The main job: a convolutional network learns the MNIST digits. Arguments go to `isograd train`."""
    install(session, *PACKAGES)
    session.run(
        "isograd", "train", "chapter6/dbl_conv_relu", "--epochs", "1", "--init", "n_in", *session.posargs
    )
