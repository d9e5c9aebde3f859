"""A network as a `torch.nn.Module`, to be trained in a loop of one's own, and back into the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import nn

from isograd.architecture import Architecture
from isograd.backend_checks import check_primitives
from isograd.embedding import INPUT, adopt_arrays, batch_function, check_network
from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.graph import FLOATING, Function
from isograd.graph.tensor import Shape
from isograd.layers import Layer, Mode
from isograd.network import Network
from isograd.training.step import MASK
from isograd_torch.executable import on_host
from isograd_torch.lowering import LOWERINGS
from isograd_torch.program import Program, make_program

# A training and an evaluation, each with full and last batches, on a few devices and in two dtypes.
_KEPT_PROGRAMS = 32


class _Batch(NamedTuple):
    """What the graph of a batch depends on, for given layers."""

    shape: Shape
    dtype: str
    device: str
    mode: Mode


class _Compiler:
    """The programs of a network's batches, as they come up; the least recently used are dropped first.

    A copy, or what is unpickled, has the layers and none of the programs.
    """

    def __init__(self, layers: Sequence[Layer], input_shape: Shape, dtype: str) -> None:
        self.network = layers, input_shape, dtype
        self.get = lru_cache(maxsize=_KEPT_PROGRAMS)(self._make)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Compiler, self.network

    def _make(self, batch: _Batch) -> tuple[Function, Program]:
        layers, input_shape, _ = self.network
        function = batch_function(Architecture(layers, input_shape, batch.dtype), batch.shape, batch.mode)
        check_primitives("torch", function, LOWERINGS)
        return function, make_program(function, batch.device, native=True)


class NetworkModule(nn.Module):
    """A network that PyTorch differentiates; `as_module` makes one.

    ``module(x)`` takes (rows, *features), of any number of rows, of the parameters' dtype and on their
    device, its features in any form that the network takes; it returns (rows, classes): the last layer's
    output, the weighted input of the softmax, as `torch.nn.functional.cross_entropy` has it.

    In mode train() (the mode of a new module) dropout masks are drawn, by `torch.Tensor.bernoulli_` from
    PyTorch's generator of the device, and buffers such as running means take their new values. In mode eval()
    the network is what isograd evaluates. Keys of the `state_dict` are isograd's paths, "0.weight".

    The derivatives are those of isograd's conventions (relu'(0) = 0, ties share), and have derivatives
    themselves.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        By a call: if x, or an array of the module, is not as described.
    """

    def __init__(self, net: Network) -> None:
        super().__init__()
        arrays = check_network(net).checked_arrays()
        architecture = net.architecture
        self._compiler = _Compiler(architecture.layers, architecture.input_shape, architecture.dtype)
        self._keep = {path: 1 - spec.p_dropout for path, spec in architecture.masks.items()}
        self._paths = tuple(arrays)
        for path, array in arrays.items():
            _enter(self, path, torch.tensor(array), trained=path in architecture.parameters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, classes): see the class."""
        arrays = self._arrays()
        batch = self._batch(x, arrays)
        function, program = self._compiler.get(batch)
        inputs = {INPUT: x}
        if self.training:
            # In the order of the layers: a seed of the generator gives the same masks again.
            for path, keep in self._keep.items():
                name = MASK + path
                mask = torch.empty(function.inputs[name].shape, dtype=torch.bool, device=x.device)
                inputs[name] = mask.bernoulli_(keep)
        # Copies of what is about to change: PyTorch may keep the old values for the gradient.
        state = {path: a.clone() if path in function.updates else a for path, a in arrays.items()}
        outputs, new = program.run(*(t for part in function.in_order(inputs, state) for t in part))
        with torch.no_grad():
            for path, value in zip(function.state, new, strict=True):
                if path in function.updates:
                    arrays[path].copy_(value)
        (output,) = outputs
        return output

    def _arrays(self) -> dict[str, torch.Tensor]:
        # By attribute: so tied weights are there twice, and parametrised ones as what they amount to.
        return {path: attrgetter(path)(self) for path in self._paths}

    def _batch(self, x: torch.Tensor, arrays: Mapping[str, torch.Tensor]) -> _Batch:
        """What is to be computed, once x and all arrays have one dtype and one device."""
        if not isinstance(x, torch.Tensor):
            raise ArgumentTypeError(f"{INPUT} is a {type(x).__name__}; expected a torch.Tensor")
        first = next(iter(arrays.values()), None)
        dtype = self._compiler.network[2] if first is None else _name(first.dtype)
        device = x.device if first is None else first.device
        if dtype not in FLOATING:
            raise ArgumentTypeError(f"the module is {dtype}; expected float32 or float64")
        for name, tensor in {**arrays, INPUT: x}.items():
            if _name(tensor.dtype) != dtype:
                raise ArgumentTypeError(f"{name} is {_name(tensor.dtype)}; expected the network's {dtype}")
            if tensor.device != device:
                raise ArgumentError(f"{name} lies on {tensor.device}; expected it on {device}")
        return _Batch(tuple(x.shape), dtype, str(device), "train" if self.training else "evaluate")


def as_module(net: Network) -> NetworkModule:
    """The network as a PyTorch module, which begins with copies of its parameters and state.

    Parameters
    ----------
    net : Network

    Returns
    -------
    NetworkModule
        On the CPU, of the network's dtype, in mode train().

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If `net` is no network, holds arrays that do not belong there, or has a layer or array with a name
        that PyTorch's modules need for themselves ("forward", "train"); the message names it.
    """
    return NetworkModule(net)


def load_into(net: Network, trained: nn.Module | Mapping[str, torch.Tensor]) -> None:
    """Give a network the parameters and state of a module, or of a `state_dict`: the way back of `as_module`.

    Parameters
    ----------
    net : Network
        Its `training` is None afterwards: a run can not be resumed from other arrays.
    trained : Module, or mapping of path to Tensor
        Exactly the network's paths, of their shapes and the network's dtype, on any device.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If something is missing, too much, or of another shape or dtype; the message names the path, and the
        network is as it was.
    """
    check_network(net)
    tensors = trained.state_dict() if isinstance(trained, nn.Module) else trained
    if not isinstance(tensors, Mapping):
        raise ArgumentTypeError(
            f"trained is a {type(trained).__name__}; expected a torch.nn.Module or its state_dict"
        )
    for path, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise ArgumentTypeError(f"trained: {path} is a {type(tensor).__name__}; expected a torch.Tensor")
        if _name(tensor.dtype) != net.dtype:  # for some there is no array of NumPy's
            raise ArgumentTypeError(f"trained: {path} is {_name(tensor.dtype)}; expected {net.dtype}")
    adopt_arrays(net, {path: on_host(tensor) for path, tensor in tensors.items()}, "trained")


def _enter(root: nn.Module, path: str, tensor: torch.Tensor, *, trained: bool) -> None:
    """Put a tensor where its key in the `state_dict` is the path: below a module for each of its parts."""
    *owners, name = path.split(".")
    owner = root
    try:
        for part in owners:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        if trained:
            owner.register_parameter(name, nn.Parameter(tensor))
        else:
            owner.register_buffer(name, tensor)
    except KeyError as error:
        raise ArgumentError(
            f"net: {path} has a name that PyTorch's modules need for themselves; rename the layer ({error})"
        ) from error


def _name(dtype: torch.dtype) -> str:
    return str(dtype).rpartition(".")[2]
