"""The backend contract.

A backend moves data, compiles a `Function` and names its devices; the rest has defaults that it may override
for speed. It is a plain object: several work side by side in one process and in threads, none is a global.
Which one a run takes is decided in `isograd.backend_choice`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from isograd.errors import ArgumentError, ArgumentTypeError, UnsupportedError

if TYPE_CHECKING:
    import numpy.typing as npt

    from isograd.graph.function import Function

__all__ = ["Array", "Backend", "Capabilities", "Executable", "one_by_one"]

Array: TypeAlias = Any
"""An array of the backend at hand, as its `to_device` returns it."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend declares about itself. The conformance suite holds it to each True and to each False.

    Attributes
    ----------
    dtypes : frozenset of str
        The graph dtypes that it implements. A function or array of another raises `UnsupportedError`, naming
        the dtype; none is ever computed silently in another precision.
    native_gradient : bool
        True: `compile_native_gradient` works, by the framework's own automatic differentiation. False: it
        raises `UnsupportedError`.
    deterministic : bool
        True: the same executable, inputs and state give the same bits again, in another process too, on the
        same device, library versions and number of threads. False: only agreement within the rounding bound
        is promised, and a resumed run may differ from an uninterrupted one in its last bits.
    flushes_subnormals : bool
        True: subnormal inputs or results may become zero, which the bound allows for. False: gradual
        underflow, as IEEE 754 has it.
    fuses : bool
        True: rounding may differ with what else is computed (fused multiply-add, reordered sums, a factor
        distributed over a sum as in an update in place), within a bound that allows for it. False: asking for
        further outputs of a function does not change a bit of the others.
    normwise_convolution : bool
        True: convolutions may go by Winograd or Fourier transforms and are held to a normwise bound. False:
        they are sums of products in some order, and every element is held to its own bound.
    limits_threads : bool
        True: `limit_threads` works. False: it raises `UnsupportedError`.
    ulps : mapping of str to float
        By primitive, the largest error in units in the last place of functions such as `exp`, where it
        exceeds what the conformance suite assumes.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If `dtypes` is empty or holds what is no graph dtype, or another field is not as described.
    """

    dtypes: frozenset[str]
    native_gradient: bool = False
    deterministic: bool = False
    flushes_subnormals: bool = False
    fuses: bool = False
    normwise_convolution: bool = False
    limits_threads: bool = False
    ulps: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        # Imported late: it needs NumPy, which choosing a backend's name does not.
        from isograd.graph.dtypes import DTYPES

        if not isinstance(self.dtypes, frozenset):
            raise ArgumentTypeError(f"dtypes is {self.dtypes!r}; expected a frozenset of str")
        if not self.dtypes or not self.dtypes <= set(DTYPES):
            raise ArgumentError(
                f"dtypes is {sorted(map(str, self.dtypes))}; expected at least one of {', '.join(DTYPES)}"
            )
        for name in (
            "native_gradient",
            "deterministic",
            "flushes_subnormals",
            "fuses",
            "normwise_convolution",
            "limits_threads",
        ):
            if not isinstance(getattr(self, name), bool):
                raise ArgumentTypeError(f"{name} is {getattr(self, name)!r}; expected a bool")
        for name, error in self.ulps.items():
            if not isinstance(error, int | float):
                raise ArgumentTypeError(f"ulps of {name!r} is {error!r}; expected a number")
            if not 0 < error < math.inf:
                raise ArgumentError(f"ulps of {name!r} is {error!r}; expected a positive, finite number")


class Executable(Protocol):
    """A compiled `Function`: called with arrays by name, on the device for which it was compiled.

    It is a pure function. All updates are computed from the old state and applied at once. Neither inputs nor
    state are modified, and nothing it returns shares memory with scratch space that a later call uses again.
    It is reentrant: several threads may call it at the same time.
    """

    @property
    def function(self) -> Function:
        """What was compiled."""
        ...

    @property
    def device(self) -> str:
        """For which device, by its full name."""
        ...

    def __call__(
        self, inputs: Mapping[str, Array], state: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The outputs and the new state, by name; a state without an update is passed through.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If an array is missing, unknown, or of another shape or dtype than the function's variable; the
            message names it.
        """
        ...


class Backend(ABC):
    """The contract. A subclass sets the first three attributes and implements the four abstract methods.

    Attributes
    ----------
    name : str
        The name of its descriptor.
    version : str
        Its own version, and its framework's where results may depend on it; checkpoints record it.
    capabilities : Capabilities
    executables : type or tuple of type
        The classes of what it compiles. `run_steps` refuses executables of another; the default knows all.
    """

    name: str
    version: str
    capabilities: Capabilities
    executables: ClassVar[type | tuple[type, ...]] = object

    @abstractmethod
    def devices(self) -> list[str]:
        """The full names of the devices that can be used now ("cpu", "cuda:0", ...), the default first."""

    @abstractmethod
    def to_device(self, array: npt.NDArray[Any], device: str) -> Array:
        """A NumPy array of any layout as an array of the backend, with the same shape, dtype and bits.

        The result may share memory with `array`, which the caller then leaves unchanged while it is in use.

        Raises
        ------
        UnsupportedError
            If the dtype is not among the capabilities.
        """

    @abstractmethod
    def to_host(self, array: Array) -> npt.NDArray[Any]:
        """An array of the backend as a NumPy array, with the same shape, dtype and bits.

        The result may share memory with `array`.
        """

    @abstractmethod
    def compile(self, function: Function, device: str) -> Executable:
        """Compile `function` for `device`.

        Raises
        ------
        UnsupportedError
            If a primitive or dtype is not implemented; the message names it.
        """

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> Executable:
        """Compile `function` and, by the framework's automatic differentiation, gradients of one output.

        Beside the outputs of `function`, the executable returns one named "gradient/NAME" for each NAME in
        `wrt`: the gradient of the scalar output `cost` with respect to that input or state, of its shape and
        dtype.

        Raises
        ------
        UnsupportedError
            If the capabilities have `native_gradient` False, or as `compile` does.
        """
        raise UnsupportedError(f"backend {self.name!r} has no native gradient; use gradient='symbolic'")

    def run_steps(
        self,
        executable: Executable,
        state: Mapping[str, Array],
        resident: Mapping[str, Array],
        per_step: Mapping[str, Array],
        steps: int,
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Array]]:
        """Run `executable` several times, each on the state that the last left: the inner loop of training.

        Parameters
        ----------
        executable : Executable
            Of this backend; all arrays below are the backend's, on its device.
        state : mapping of str to array
            Before the first step. It is not modified.
        resident : mapping of str to array
            Inputs that are the same at every step, such as the data set. They are only read and not copied.
        per_step : mapping of str to array
            Inputs that change: row i, along a leading axis of length `steps`, is for step i.
        steps : int
            At least 1.

        Returns
        -------
        outputs : dict of str to numpy.ndarray
            On the host, one row a step; no memory is shared with anything else.
        state : dict of str to array
            After the last step.

        Raises
        ------
        ArgumentTypeError, ArgumentError
            If `executable` is of none of the classes `executables`, `steps` is no int or less than 1, an
            array of `per_step` has not `steps` rows, or a name is in both `resident` and `per_step`; and as
            `executable` does.
        """
        from isograd.backend_checks import check_executable

        check_executable(executable, self.executables)
        return one_by_one(self, executable, state, resident, per_step, steps)

    def execution(self, executable: Executable) -> str:
        """How `run_steps` runs an executable, where there are ways that give different bits; else "".

        It depends on the function and the device alone, never on a timing. Checkpoints record it.
        """
        return ""

    def limit_threads(self, threads: int) -> AbstractContextManager[None]:
        """A context inside which computations use at most so many threads, at least 1.

        That may be a setting of the whole process; leaving the context restores it. Threads may overlap in
        such contexts, and leave them in any order (`isograd.thread_limits`).

        Raises
        ------
        UnsupportedError
            If the capabilities have `limits_threads` False, as by default.
        """
        raise UnsupportedError(f"backend {self.name!r} can not limit its threads; leave threads out")

    def precision(self, dtype: str, device: str) -> str:
        """The precision in which sums of products of `dtype` are computed now.

        It is `dtype` itself unless the framework has a process-wide switch for less, which is read at each
        call and never flipped; the rounding bound uses this one.
        """
        return dtype

    def compilation_key(self, device: str) -> Hashable:
        """What else compiled code for `device` depends on; a subclass adds what only it knows of."""
        dtypes = sorted(self.capabilities.dtypes)
        return self.name, self.version, *(self.precision(dtype, device) for dtype in dtypes)

    def resolve_device(self, device: str | None, argument: str = "device") -> str:
        """The full name of a device: None is the default, and "cuda" the first of "cuda:0", "cuda:1".

        Raises
        ------
        ArgumentError
            If there is none such; the message names `argument` and lists `devices()`.
        """
        devices = self.devices()
        matches = [name for name in devices if device in (None, name)] or [
            name for name in devices if name.startswith(f"{device}:")
        ]
        if not matches:
            raise ArgumentError(
                f"{argument} asks for the device {device!r} of backend {self.name!r}; "
                f"its devices are: {', '.join(devices) or 'none'}"
            )
        return matches[0]


def one_by_one(
    backend: Backend,
    executable: Executable,
    state: Mapping[str, Array],
    resident: Mapping[str, Array],
    per_step: Mapping[str, Array],
    steps: int,
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Array]]:
    """What `Backend.run_steps` does by default, for any executable that takes the backend's arrays.

    Parameters, results and errors are those of `Backend.run_steps`, but no class of executable is refused.
    """
    import numpy as np

    from isograd.backend_checks import check_steps

    steps = check_steps(steps, resident, per_step)
    rows: list[dict[str, npt.NDArray[Any]]] = []
    for step in range(steps):
        # The ellipsis keeps a row without axes an array, where NumPy would make it a scalar.
        inputs = {**resident, **{name: array[step, ...] for name, array in per_step.items()}}
        outputs, state = executable(inputs, state)
        rows.append({name: backend.to_host(array) for name, array in outputs.items()})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}, dict(state)
