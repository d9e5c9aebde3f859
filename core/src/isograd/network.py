"""A network: layers, and the arrays that training gives them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Self

from isograd.architecture import Architecture, initial_arrays
from isograd.backend import Backend
from isograd.costs import Cost, LogLikelihood
from isograd.data.expanded import Expanded
from isograd.errors import ArgumentError
from isograd.layers import InitialiserLike, Layer
from isograd.model import Arrays, Data, Model
from isograd.pages.fragments import table
from isograd.training import checkpoint
from isograd.training.augmentation import Augmentation
from isograd.training.callbacks import Callback
from isograd.training.checkpoint import Contents
from isograd.training.checks import checked_seed
from isograd.training.history import EpochRecord, History
from isograd.training.plan import make_plan
from isograd.training.schedules import Eta
from isograd.training.sgd import train
from isograd.training.state import TrainingState


class Network(Model):
    """Layers one after the other, and their parameters. What it says of data is its base's.

    Parameters
    ----------
    layers : sequence of Layer
        The last gives what the cost takes: for the default one (classes,), the weighted input of a softmax;
        usually it is a `Softmax`.
    input_shape : sequence of int
        The shape of one example: (784,) or (1, 28, 28), channels first.
    seed : int
        From it come the initial parameters, the shuffles and the dropout masks: the same on every backend.
    init : str, Initialiser or callable
        How parameters begin: "chapter" (as the listing), "n_in" (its author's correction), "glorot", "he", or
        what decides for every array (`isograd.layers.initialisers`). A layer's own initialisers go first.
    dtype : str
        float32 or float64: of the parameters and all that is computed from them.
    cost : Cost
        What training minimises (`isograd.costs`), by default `LogLikelihood`, of classes. `Quadratic` and
        `CrossEntropy` are of values: the labels of data are then floating, as many an example as outputs.

    Attributes
    ----------
    parameters : dict of path to ndarray
        The trained arrays. The path is "LAYER.ARRAY", LAYER the layer's name or position: "0.weight".
    state : dict of path to ndarray
        Arrays that training updates without a gradient.
    training : TrainingState or None
        The last run of `SGD` as it can be resumed; None where there was none, or an error ended it.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If an argument is not as described, two layers have the same name, a layer can not take its input or
        the cost not the last one's output.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int],
        seed: int = 0,
        *,
        init: InitialiserLike = "chapter",
        dtype: str = "float32",
        cost: Cost = LogLikelihood(),  # noqa: B008 (frozen, and without fields)
    ) -> None:
        architecture = Architecture(layers, input_shape, dtype, cost)
        seed = checked_seed(seed)
        self._set(architecture, seed, init, initial_arrays(architecture, seed, init), None)

    def _set(
        self,
        architecture: Architecture,
        seed: int,
        init: InitialiserLike,
        arrays: Arrays,
        training: TrainingState | None,
    ) -> None:
        self.architecture = architecture
        self.seed = seed
        self.init = init
        self.adopt(arrays)
        self.training = training

    def __repr__(self) -> str:
        default = self.architecture.cost == LogLikelihood()
        cost = "" if default else f", cost={self.architecture.cost!r}"
        return f"Network({list(self.layers)!r}, input_shape={self.input_shape}, seed={self.seed}{cost})"

    def _repr_html_(self) -> str:
        """The table of `summary`, for a notebook."""
        headings, *rows = self.architecture.summary_rows()
        return table(headings, rows)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write layers, parameters and state to a safetensors file, whole or not at all.

        Raises
        ------
        ArgumentError
            If a layer holds a function without a registered name; the message says how to give it one.
        FileAccessError
            If the file can not be written.
        """
        checkpoint.write(path, self)

    def to_onnx(
        self,
        path: str | os.PathLike[str],
        *,
        input_dtype: str | None = None,
        scale: float = 1.0,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Write the network, as it evaluates, to an ONNX file, whole or not at all.

        Input "input" (batch, *input_shape), for any batch; outputs "probabilities" (batch, classes), of the
        network's dtype, and "class" int32 (batch,), the first of the largest. Where the cost is of values:
        "values" (batch, *output_shape). See docs/export.md.

        Parameters
        ----------
        path : str or path
        input_dtype : str, optional
            float32, float64 or uint8: what the model takes; the network's dtype by default.
        scale : float
            What the model multiplies its input by, above 0: that of the data set that was trained on, such
            as 1/256 for images of bytes.
        classes : sequence of str, optional
            The name of each class, all different, for the file's metadata.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If an argument, or an array of the network, is not as described.
        UnsupportedError
            If onnx is not installed (the extra isograd[onnx]), ONNX has no operator for a primitive of a
            layer, a layer mixes the examples of a batch, or the arrays do not fit into one model (2 GiB).
        FileAccessError
            If the file can not be written.
        """
        from isograd.onnx import export

        export(self, path, input_dtype=input_dtype, scale=scale, classes=classes)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, best: bool = False) -> Self:
        """The network of a file that `save`, or a run with `checkpoint=`, wrote.

        Parameters
        ----------
        path : str or path
        best : bool
            Take, from the checkpoint of a run, the parameters of the best validation accuracy instead of the
            last ones.

        Raises
        ------
        FileAccessError
            If the file can not be read.
        FileFormatError
            If it is no such file (an ensemble's is for `Ensemble.load`), is truncated or corrupted or was
            written by a newer isograd, or names a function or layer that is not registered here.
        ArgumentError
            If `best` is True and the file has no such parameters.
        """
        contents = checkpoint.read(path)
        arrays = contents.arrays
        if best:
            if contents.training is None or contents.training.best is None:
                raise ArgumentError(f"best is True, but {os.fspath(path)} has no parameters of a best epoch")
            arrays = contents.training.best
        return cls.from_contents(replace(contents, arrays=arrays))

    @classmethod
    def from_contents(cls, contents: Contents) -> Self:
        """The network that a file describes, as `isograd.training.checkpoint` reads it; arrays are copied."""
        network = cls.__new__(cls)
        network._set(contents.architecture, contents.seed, contents.init, contents.arrays, contents.training)
        return network

    def load_parameters(self, path: str | os.PathLike[str]) -> None:
        """Take parameters and state from a file of a network with arrays of the same paths, shapes and dtype.

        What has no arrays, such as activations and dropout, may differ. Raises as `load` does, and
        ArgumentError if the arrays differ; it names the first difference, and nothing has changed then.
        """
        contents = checkpoint.read(path)
        checkpoint.check_same_arrays(path, contents, self.architecture)
        self.adopt(contents.arrays)
        self.training = None

    def SGD(  # noqa: N802 (the chapter's name)
        self,
        training_data: Data | Expanded,
        epochs: int,
        mini_batch_size: int,
        eta: Eta | str,
        validation_data: Data | None = None,
        test_data: Data | None = None,
        lmbda: float = 0.0,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        averaging: float = 0.0,
        shuffle: bool = True,
        drop_last: bool = False,
        early_stopping: int | None = None,
        tested: str = "best",
        callbacks: Iterable[Callback | Callable[[EpochRecord], object]] = (),
        backend: str | Backend | None = None,
        gradient: str = "symbolic",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        max_steps: int | None = None,
        progress: bool | None = None,
        threads: int | None = None,
        augmentation: Augmentation | Sequence[Augmentation] | None = None,
    ) -> History:
        """Train by mini-batch stochastic gradient descent.

        A step's cost is the sum over its rows of the network's cost, -log(softmax(z)[label]) if it was given
        none, times the example's weight if it has one; by mini_batch_size; plus 0.5 * lmbda * sum(w^2) / m
        over the weights (not the biases), with m the number of steps of an epoch. So every example weighs the
        same in a smaller last batch too.

        Parameters
        ----------
        training_data : Dataset, (inputs, labels) or `isograd.data.expanded` of one of them
            inputs (n, *features), flat or of `input_shape`; labels (n,), from 0 to the number of classes - 1,
            or for a cost of values (n, *output_shape); (n,) will do for a single output.
        epochs : int
        mini_batch_size : int
            At most n.
        eta : float, str or callable
            The learning rate: a number, or a function of the epoch, counted from 0, or a `StepSchedule`, by
            which it changes with every step (`isograd.training` has some of both), or the name of a
            registered one. Above 0 in every step.
        validation_data, test_data : Dataset or (inputs, labels), optional
            Evaluated after each epoch; the test data as `tested` says.
        lmbda : float
            The strength of L2 regularisation; 0 leaves it out.
        momentum : float
            In [0, 1); the equations are those of `isograd.training.step`.
        nesterov : bool
            Take the gradient where momentum leads.
        weight_decay : float
            weight_decay * w is added to the gradient of each weight w (not of biases, nor of what a
            `BatchNorm` has), before momentum, as `torch.optim.SGD` does. It is what lmbda / m is there, and
            both add up; but it does not depend on the number m of steps, and no term of the cost that is
            reported belongs to it.
        label_smoothing : float
            a in [0, 1): a row's cost is 1 - a times that of its label plus a times the mean of those of all
            classes (Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016).
            Only in training: validation costs are those of the labels. It needs the cost `LogLikelihood`.
        averaging : float
            d in [0, 1); 0 leaves it out. Beside each parameter and each array of layer state the run keeps
            an average a, at first the array itself: each step adds (1 - d) * (the array's new value - a).
            Evaluation, the best parameters, callbacks and the network after training, however that ends,
            have the averages; what is being trained is in `training`, with which a run is resumed. Another
            run without `resume` begins with the averages.
        shuffle : bool
            Visit the examples in another order every epoch; False keeps their own, as the listing does.
        drop_last : bool
            Leave a smaller last batch out, as the listing does.
        early_stopping : int, optional
            Stop after so many epochs in which the validation accuracy did not exceed all before; the network
            then has the parameters of the best epoch. Where the cost is of values, here and everywhere in a
            run, the lowest validation cost stands for the best validation accuracy.
        tested : "best" or "last"
            When the test data are evaluated: where the validation accuracy is the best so far, as in the
            listing; or once, after the last epoch, for a run whose number of epochs is fixed beforehand.
        callbacks : iterable of Callback or callable
            Callables are called with the `EpochRecord` after each epoch. A callback that raises ends training
            with its error; the network keeps the parameters of the last finished chunk of steps.
        backend : str or Backend, optional
            As for `isograd.choose_backend`.
        gradient : "symbolic" or "native"
            isograd's own gradient, or that of the backend's framework.
        checkpoint : path, optional
            Where to write the run, so that it can be resumed: after each epoch and where it stops.
        checkpoint_every : int, optional
            Write after each so many steps of the run instead of after each epoch.
        resume : bool
            Go on with the run of `training`, that is of `Network.load(checkpoint)` or the last call. Data and
            arguments must be the same (the number of epochs, backend, callbacks and files may differ). On the
            same deterministic backend the result is that of an uninterrupted run to the last bit.
        max_steps : int, optional
            Stop after so many further steps.
        progress : bool, optional
            Show a progress bar: in a notebook there, else on the error stream. None: only in a notebook and
            on a terminal.
        threads : int, optional
            How many threads the backend may use; None leaves that alone.
        augmentation : Augmentation or sequence of them, optional
            Random changes of the training images, drawn anew for each image in each epoch
            (`isograd.training.augmentation`); the first one changes the image first. It needs data whose
            examples are images (channels, height, width). Evaluation has the images as they are.

        Returns
        -------
        History
            After Ctrl-C too, in the main thread: it waits for the end of a chunk of at most 256 steps, then
            training stops with `History.stopped` "interrupted", and the network has the parameters of the
            best epoch, without validation the last ones. A second Ctrl-C raises KeyboardInterrupt at once.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If an argument is not as described; nothing has changed then. eta is checked in every epoch.
        UnsupportedError
            If the backend has no native gradient, can not limit its threads or lacks a dtype.
        FileAccessError
            If the checkpoint can not be written; this is tried before training starts.
        NonFiniteError
            If the cost or an array becomes NaN or infinite: the error names epoch, step and layer, and the
            network keeps the parameters from before that chunk of steps.
        """
        plan = make_plan(
            self.architecture,
            training_data,
            epochs,
            mini_batch_size,
            eta,
            validation_data,
            test_data,
            lmbda,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            averaging=averaging,
            shuffle=shuffle,
            drop_last=drop_last,
            early_stopping=early_stopping,
            tested=tested,
            gradient=gradient,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            max_steps=max_steps,
            augmentation=augmentation,
        )
        return train(self, plan, backend, resume=resume, progress=progress, threads=threads)
