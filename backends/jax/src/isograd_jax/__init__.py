"""isograd's JAX backend; `as_function` makes a network a pure function, `load_into` takes its arrays back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isograd_jax.pure import (
        NetworkFunction,
        NetworkFunctionWithState,
        as_function,
        as_function_with_state,
        load_into,
    )

__version__ = "0.1.0"

__all__ = [
    "NetworkFunction",
    "NetworkFunctionWithState",
    "__version__",
    "as_function",
    "as_function_with_state",
    "load_into",
]


def __getattr__(name: str) -> Any:
    # Late: the plugin's descriptor, which imports this package, does without JAX.
    if name not in __all__:
        raise AttributeError(f"module 'isograd_jax' has no attribute {name!r}")
    from isograd_jax import pure

    return getattr(pure, name)


def __dir__() -> list[str]:
    return __all__
