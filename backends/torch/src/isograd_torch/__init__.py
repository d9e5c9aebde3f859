"""isograd's PyTorch backend; `as_module` makes a network a `torch.nn.Module`, `load_into` takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isograd_torch.module import NetworkModule, as_module, load_into

__version__ = "0.1.0"

__all__ = ["NetworkModule", "__version__", "as_module", "load_into"]


def __getattr__(name: str) -> Any:
    # Late: the plugin's descriptor, which imports this package, does without PyTorch.
    if name not in __all__:
        raise AttributeError(f"module 'isograd_torch' has no attribute {name!r}")
    from isograd_torch import module

    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
