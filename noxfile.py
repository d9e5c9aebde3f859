"""The project's sessions: `nox` runs the tests, lint and types; `nox -s demo` trains a network."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["core", "tests", "cross", "embedding", "template", "example", "docs", "lint", "types"]
nox.options.error_on_missing_interpreters = False

BACKENDS = [name for name in ("numpy", "torch", "jax") if Path("backends", name).is_dir()]
CORE = ["core", "datasets/mnist"]
XDIST = "pytest-xdist>=3.6"
TEST_TOOLS = [
    "pytest>=8.2",
    XDIST,
    "coverage[toml]>=7.10",
    "hypothesis>=6.100",
    "mpmath",
    "scipy",
    "pillow",
    "matplotlib",
    "jinja2",
    "griffelib>=2",
]
SITE_TOOLS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6,<10", "mkdocstrings[python]>=1", "ruff>=0.9"]
# A layer and a cost that isograd finds as a plugin.
EXTENSION = "examples/maxout"
# What an isograd network is embedded in.
EMBEDDING = ["scikit-learn>=1.7", "pandas", "onnx>=1.18", "onnxruntime>=1.22"]
SOURCES = [
    "core",
    "conformance",
    "backends",
    "datasets",
    "benchmarks",
    "examples",
    "docs/_hooks",
    "conftest.py",
    "noxfile.py",
]
# The tests' matrices are tiny: threads would only wait for each other.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Python compiles what is imported; compiling all of the libraries takes longer than unpacking them.
PIP = ("--no-compile", "-c", "constraints.txt")
# Tests are shared between the cores; those that need the same long training stay in one process.
IN_PARALLEL = ("-n", "auto", "--dist", "loadgroup")


def install(session: nox.Session, folders: Sequence[str], *packages: str) -> None:
    """Install the distributions in these folders editable, and packages from the index.

    All of them go into one call: pip then takes each of the project's own from here and none from an index.
    """
    editable = [argument for folder in folders for argument in ("-e", folder)]
    session.install(*PIP, *editable, *packages)


def backend_folders() -> list[str]:
    """The folders of all backends."""
    return [f"backends/{name}" for name in BACKENDS]


def conform(session: nox.Session, *arguments: str) -> None:
    """Run the conformance suite."""
    session.run("pytest", "--pyargs", "isograd_conformance", *IN_PARALLEL, *arguments, env=ONE_THREAD)


@nox.session
def core(session: nox.Session) -> None:
    """What knows no backend, with branch coverage; arguments go to pytest."""
    install(session, [*CORE, "conformance"], *TEST_TOOLS)
    session.run("coverage", "run", "-m", "pytest", *IN_PARALLEL, *session.posargs, env=ONE_THREAD)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


FAULTS = ("python", "-m", "isograd_conformance.faults")


def today() -> str:
    """The number of the tenth whose day it is."""
    return str(date.today().toordinal() % 10)


@nox.session
@nox.parametrize("backend", BACKENDS, ids=BACKENDS)
def tests(session: nox.Session, backend: str) -> None:
    """One backend: its own tests and the conformance suite, which gets the arguments.

    The first backend is also where a tenth of the planted faults goes, another one each day.
    """
    install(session, [*CORE, "conformance", f"backends/{backend}"], *TEST_TOOLS)
    session.run("pytest", f"backends/{backend}/tests", env=ONE_THREAD)
    conform(session, "--backend", backend, *session.posargs)
    if backend == BACKENDS[0] and not session.posargs:
        session.run(*FAULTS, "--backend", backend, "--tenth", today(), env=ONE_THREAD)


@nox.session
def cross(session: nox.Session) -> None:
    """All backends in one process: isolation, agreement of every two, and a package of layers and costs.

    Arguments go to pytest.
    """
    install(session, [*CORE, "conformance", *backend_folders(), EXTENSION], *TEST_TOOLS)
    judged = ("-k", "isolation or across or costs", "--conformance-long")
    conform(session, "--backend", "all", *judged, *session.posargs)
    session.run("pytest", f"{EXTENSION}/tests", env=ONE_THREAD)


@nox.session
def embedding(session: nox.Session) -> None:
    """isograd inside other libraries, which are installed here, on one backend; arguments go to pytest."""
    folders = [*CORE, "conformance", f"backends/{BACKENDS[0]}", EXTENSION]
    install(session, folders, *TEST_TOOLS, *EMBEDDING)
    environment = {**ONE_THREAD, "ISOGRAD_EMBEDDING": "required"}
    tests = ("core/tests/embedding", f"{EXTENSION}/tests")
    session.run("pytest", *tests, *IN_PARALLEL, *session.posargs, env=environment)


def plant(session: nox.Session, *arguments: str) -> None:
    """Plant faults in the first backend, or in the one that the arguments name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--backend", default=BACKENDS[0])
    given, others = parser.parse_known_args([*arguments, *session.posargs])
    folder = f"backends/{given.backend.partition(':')[0]}"
    install(session, [*CORE, "conformance", folder], *TEST_TOOLS)
    session.run(*FAULTS, "--backend", given.backend, *others, env=ONE_THREAD)


@nox.session
def faults(session: nox.Session) -> None:
    """The suite's own test: all planted faults, all correct variants; some 10 minutes. See docs/faults.md."""
    plant(session)


@nox.session
def faults_tenth(session: nox.Session) -> None:
    """A tenth of the faults and variants, another one each day."""
    plant(session, "--tenth", today())


@nox.session
def template(session: nox.Session) -> None:
    """What `isograd new-backend` writes: it installs, its tests pass, the suite among them, and it is clean.

    Arguments go to pytest.
    """
    # Not editable: so the wheels are seen to hold the template and the suite.
    session.install(*PIP, "./core", "./conformance", "mypy>=1.15", "ruff>=0.9", XDIST)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "generated")
        session.run("isograd", "new-backend", "generated", str(folder))
        session.install(*PIP, "-e", f"{folder}[test]")
        with session.chdir(folder):
            session.run("pytest", *IN_PARALLEL, *session.posargs, env=ONE_THREAD)
            session.run("mypy", "--strict", "src", "tests")
            session.run("ruff", "check")
            session.run("ruff", "format", "--check")


@nox.session
def example(session: nox.Session) -> None:
    """The tutorial backend: its own tests, and the suite, which gets the arguments."""
    install(session, ["core", "conformance", "examples/autograd"], "pytest>=8.2", "mypy>=1.15", XDIST)
    with session.chdir("examples/autograd"):
        session.run("pytest", *IN_PARALLEL, *session.posargs, env=ONE_THREAD)
        session.run("mypy", "src", "tests")


@nox.session
def browser(session: nox.Session) -> None:
    """Pages as Chromium shows them, which has to be installed; arguments go to pytest.

    With `--screenshots` among them, docs/figures gets a picture of each page of docs/results.
    """
    install(session, [*CORE, "conformance"], *TEST_TOOLS, *SITE_TOOLS, "playwright>=1.49")
    others = [argument for argument in session.posargs if argument != "--screenshots"]
    tests = ("core/tests/pages", "conformance/tests/test_pages_in_a_browser.py")
    session.run("pytest", *tests, *others, env={**ONE_THREAD, "ISOGRAD_BROWSER": "required"})
    if "--screenshots" in session.posargs:
        session.run("python", "-m", "isograd.pages.browser", "docs/results", "docs/figures")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, into site/; a page, link or docstring that is missing fails.

    Arguments go to `mkdocs` in the place of `build --strict`: `serve` shows the site while it is edited.
    """
    install(session, ["core", "conformance"], *SITE_TOOLS)
    # Else the theme advertises its successor.
    session.run("mkdocs", *(session.posargs or ("build", "--strict")), env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff's rules and its format."""
    session.install(*PIP, "ruff>=0.9")
    session.run("ruff", "check", *SOURCES)
    session.run("ruff", "format", "--check", *SOURCES)


@nox.session
def types(session: nox.Session) -> None:
    """mypy in strict mode over all distributions."""
    folders = [*CORE, "conformance", *backend_folders(), EXTENSION]
    install(session, folders, "mypy>=1.15", "pytest", "hypothesis", "nox", "matplotlib", "pillow", "jinja2")
    session.run("mypy", *(f"{folder}/src" for folder in folders), "noxfile.py")


@nox.session
def demo(session: nox.Session) -> None:
    """The main job: a convolutional network learns the MNIST digits. Arguments go to `isograd train`.

    `--backend NAME[:DEVICE]` among them says which backend is installed; without it, the default one is.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--backend", default="numpy")
    backend = parser.parse_known_args(session.posargs)[0].backend.partition(":")[0]
    if backend not in BACKENDS:
        session.error(f"--backend names {backend!r}; here are {', '.join(BACKENDS)}")
    install(session, [*CORE, f"backends/{backend}"])
    session.run(
        "isograd", "train", "chapter6/dbl_conv_relu", "--epochs", "1", "--init", "n_in", *session.posargs
    )
