"""The JAX backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from isograd.backend import Backend, Capabilities, Executable
from isograd.backend_checks import check_executable, check_primitives, check_steps, native_array
from isograd.graph import DTYPES, Function, simplify
from isograd_jax import __version__
from isograd_jax.executable import JaxExecutable, NativeGradient
from isograd_jax.lowering import LOWERINGS
from isograd_jax.precision import in_double_precision

HostArray = npt.NDArray[Any]


class JaxBackend(Backend):
    """Executes graphs with JAX, on the CPU and on every accelerator that it reports.

    Matrix products and convolutions ask for full precision one by one, so that no float32 is computed in
    less; float64 is there whatever the process has chosen for itself.
    """

    name = "jax"
    version = f"{__version__} (JAX {jax.__version__})"

    def __init__(self) -> None:
        # On an accelerator sums may be made in any order and convolutions by transforms.
        accelerated = jax.default_backend() != "cpu"
        self.capabilities = Capabilities(
            dtypes=frozenset(DTYPES),
            native_gradient=True,
            deterministic=not accelerated,
            flushes_subnormals=True,
            fuses=True,
            normwise_convolution=accelerated,
        )

    def devices(self) -> list[str]:
        """The devices of JAX's default platform ("gpu:0", ...), and the CPU's; the first is the default."""
        return list(self._places())

    def _places(self) -> dict[str, jax.Device]:
        found = jax.local_devices()
        if all(place.platform != "cpu" for place in found):
            found = [*found, *jax.local_devices(backend="cpu")]
        alone = sum(place.platform == "cpu" for place in found) == 1
        return {
            "cpu" if alone and place.platform == "cpu" else f"{place.platform}:{place.id}": place
            for place in found
        }

    @in_double_precision
    def to_device(self, array: HostArray, device: str) -> jax.Array:
        """An array of JAX's."""
        value = native_array(self.name, array, self.capabilities.dtypes)
        moved: jax.Array = jax.device_put(value, self._places()[self.resolve_device(device)])
        return moved

    def to_host(self, array: jax.Array) -> HostArray:
        """A NumPy array, read-only."""
        return np.asarray(array)

    def compile(self, function: Function, device: str) -> JaxExecutable:
        """Prepare the function; XLA compiles it when it is first called."""
        device = self.resolve_device(device)
        check_primitives(self.name, function, LOWERINGS)
        return JaxExecutable(function, simplify(function), device, self._places()[device])

    def compile_native_gradient(
        self, function: Function, cost: str, wrt: Sequence[str], device: str
    ) -> NativeGradient:
        """The forward graph, differentiated by jax.grad."""
        device = self.resolve_device(device)
        check_primitives(self.name, function, LOWERINGS)
        return NativeGradient(function, device, self._places()[device], cost, wrt)

    def execution(self, executable: Executable) -> str:
        """ "loop" or "step", by the rule of `isograd_jax.program`."""
        return executable.steps_mode if isinstance(executable, JaxExecutable) else ""

    def run_steps(
        self,
        executable: Executable,
        state: Mapping[str, jax.Array],
        resident: Mapping[str, jax.Array],
        per_step: Mapping[str, jax.Array],
        steps: int,
    ) -> tuple[dict[str, HostArray], dict[str, jax.Array]]:
        """All steps in one compiled loop, or by one compiled step; the rule is `isograd_jax.program`'s."""
        if isinstance(executable, NativeGradient):
            return super().run_steps(executable, state, resident, per_step, steps)
        compiled = check_executable(executable, JaxExecutable)
        return compiled.run_steps(state, resident, per_step, check_steps(steps, resident, per_step))
