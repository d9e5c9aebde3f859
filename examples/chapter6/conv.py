"""The experiments of chapter 6 of Nielsen's "Neural Networks and Deep Learning", on `isograd.network3`.

The functions have the names, the arguments and the defaults of the book's script `conv.py` by Michael Nielsen
(https://github.com/mnielsen/neural-networks-and-deep-learning, MIT licence), and `runs` and `epochs` wherever
the numbers are fixed there. From the command line:

    python conv.py                                the book's experiments, one after the other: days
    python conv.py shallow basic_conv             these two
    python conv.py --runs 1 --epochs 1 dbl_conv   this one, briefly

The data are MNIST as isograd-mnist has it, or the book's files in ../data.
"""

from __future__ import annotations

import argparse
from collections import Counter
from functools import partial

import numpy as np

from isograd import network3
from isograd.network3 import (
    ConvPoolLayer,
    FullyConnectedLayer,
    Network,
    ReLU,
    SoftmaxLayer,
    sigmoid,
)

training_data, validation_data, test_data = network3.load_data_shared()
mini_batch_size = 10

LAMBDAS = [0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0]


def shallow(n=3, epochs=60):
    """n networks with one hidden layer of 100 sigmoid neurons."""
    nets = []
    for _ in range(n):
        print("A shallow net with 100 hidden neurons")
        net = Network(
            [FullyConnectedLayer(n_in=784, n_out=100), SoftmaxLayer(n_in=100, n_out=10)], mini_batch_size
        )
        net.SGD(training_data, epochs, mini_batch_size, 0.1, validation_data, test_data)
        nets.append(net)
    return nets


def basic_conv(n=3, epochs=60):
    """The last of n networks with a convolutional-pooling layer before the hidden one."""
    for _ in range(n):
        print("Conv + FC architecture")
        net = Network(
            [
                first_conv(sigmoid),
                FullyConnectedLayer(n_in=20 * 12 * 12, n_out=100),
                SoftmaxLayer(n_in=100, n_out=10),
            ],
            mini_batch_size,
        )
        net.SGD(training_data, epochs, mini_batch_size, 0.1, validation_data, test_data)
    return net


def omit_FC(runs=3, epochs=60):  # noqa: N802 (the script's name)
    """The last of several networks with a convolutional-pooling layer alone: an exercise."""
    for _ in range(runs):
        print("Conv only, no FC")
        net = Network([first_conv(sigmoid), SoftmaxLayer(n_in=20 * 12 * 12, n_out=10)], mini_batch_size)
        net.SGD(training_data, epochs, mini_batch_size, 0.1, validation_data, test_data)
    return net


def dbl_conv(activation_fn=sigmoid, runs=3, epochs=60):
    """The last of several networks with two convolutional-pooling layers; with `tanh`, a problem."""
    for _ in range(runs):
        print("Conv + Conv + FC architecture")
        net = double(activation_fn)
        net.SGD(training_data, epochs, mini_batch_size, 0.1, validation_data, test_data)
    return net


def regularized_dbl_conv(runs=3, epochs=60):
    """`dbl_conv` with L2 regularisation of many strengths, which helps little."""
    for lmbda in LAMBDAS:
        for j in range(runs):
            print(f"Conv + Conv + FC num {j}, with regularization {lmbda}")
            net = double(sigmoid)
            net.SGD(training_data, epochs, mini_batch_size, 0.1, validation_data, test_data, lmbda=lmbda)


def dbl_conv_relu(runs=3, epochs=60):
    """The same with rectified linear units, and without regularisation too."""
    for lmbda in [0.0, *LAMBDAS]:
        for j in range(runs):
            print(f"Conv + Conv + FC num {j}, relu, with regularization {lmbda}")
            net = double(ReLU)
            net.SGD(training_data, epochs, mini_batch_size, 0.03, validation_data, test_data, lmbda=lmbda)


# From here on the training data are 250,000 images: each of the 50,000 and its four shifts by one pixel.


def expanded_data(n=100, runs=3, epochs=60):
    """n neurons in the hidden layer; the book has 100, 300 and 1,000."""
    for j in range(runs):
        print(f"Training with expanded data, {n} neurons in the FC layer, run num {j}")
        net = double(ReLU, n)
        net.SGD(
            expanded_training_data(), epochs, mini_batch_size, 0.03, validation_data, test_data, lmbda=0.1
        )
    return net


def expanded_data_double_fc(n=100, runs=3, epochs=60):
    """n neurons in each of two hidden layers; the book has 100, 300 and 1,000."""
    for j in range(runs):
        print(f"Training with expanded data, {n} neurons in two FC layers, run num {j}")
        net = Network(
            [
                first_conv(ReLU),
                second_conv(ReLU),
                FullyConnectedLayer(n_in=40 * 4 * 4, n_out=n, activation_fn=ReLU),
                FullyConnectedLayer(n_in=n, n_out=n, activation_fn=ReLU),
                SoftmaxLayer(n_in=n, n_out=10),
            ],
            mini_batch_size,
        )
        net.SGD(
            expanded_training_data(), epochs, mini_batch_size, 0.03, validation_data, test_data, lmbda=0.1
        )


def double_fc_dropout(p0, p1, p2, repetitions, epochs=40):
    """Networks with two hidden layers of 1,000 neurons, and dropout before each dense layer."""
    nets = []
    for j in range(repetitions):
        print("\n\nTraining using a dropout network with parameters ", p0, p1, p2)
        print(f"Training with expanded data, run num {j}")
        net = Network(
            [
                first_conv(ReLU),
                second_conv(ReLU),
                FullyConnectedLayer(n_in=40 * 4 * 4, n_out=1000, activation_fn=ReLU, p_dropout=p0),
                FullyConnectedLayer(n_in=1000, n_out=1000, activation_fn=ReLU, p_dropout=p1),
                SoftmaxLayer(n_in=1000, n_out=10, p_dropout=p2),
            ],
            mini_batch_size,
        )
        net.SGD(expanded_training_data(), epochs, mini_batch_size, 0.03, validation_data, test_data)
        nets.append(net)
    return nets


def ensemble(nets):
    """Where in the test data a vote of the networks is wrong, and what it says there: two lists."""
    for net in nets:
        batches = network3.size(test_data) // net.mini_batch_size
        net.test_predictions = np.concatenate([net.test_mb_predictions(i) for i in range(batches)])
    votes = list(zip(*[net.test_predictions.tolist() for net in nets], strict=True))
    decisions = [Counter(vote).most_common(1)[0][0] for vote in votes]
    test_y = test_data[1].eval()
    error_locations = [j for j, decision in enumerate(decisions) if decision != test_y[j]]
    erroneous_predictions = [decisions[j] for j in error_locations]
    print(f"Accuracy is {1 - len(error_locations) / len(decisions):.2%}")
    return error_locations, erroneous_predictions


def plot_errors(error_locations, erroneous_predictions=None):
    """A figure of up to 40 errors: the right class at the top right, the given one at the bottom right."""
    test_x, test_y = test_data[0].eval(), test_data[1].eval()
    figure = new_figure()
    for j, place in enumerate(error_locations[:40]):
        axes = figure.add_subplot(5, 8, j + 1, xticks=[], yticks=[])
        axes.imshow(test_x[place].reshape(28, -1), cmap="binary")
        axes.text(24, 5, str(test_y[place]))
        if erroneous_predictions:
            axes.text(24, 24, str(erroneous_predictions[j]))
    return figure


def plot_filters(net, layer, x, y):
    """A figure of the filters of a convolutional layer on their first input map, in a grid x wide, y high."""
    filters = net.layers[layer].w.eval()
    figure = new_figure()
    for j, weights in enumerate(filters):
        axes = figure.add_subplot(y, x, j + 1, xticks=[], yticks=[])
        axes.imshow(weights[0], cmap="binary")
    return figure


def run_experiments():
    """All that the book has; figures are written into the working directory."""
    shallow()
    basic_conv()
    omit_FC()
    dbl_conv(activation_fn=sigmoid)
    dbl_conv_relu()
    for n in (100, 300, 1000):
        expanded_data(n=n)
    for n in (100, 300, 1000):
        expanded_data_double_fc(n=n)
    nets = double_fc_dropout(0.5, 0.5, 0.5, 5)
    error_locations, erroneous_predictions = ensemble(nets)
    plot_errors(error_locations, erroneous_predictions).savefig("ensemble_errors.png")
    plot_filters(nets[0], 0, 5, 4).savefig("net_full_layer_0.png")
    plot_filters(nets[0], 1, 8, 5).savefig("net_full_layer_1.png")


def first_conv(activation_fn):
    return ConvPoolLayer(
        image_shape=(mini_batch_size, 1, 28, 28),
        filter_shape=(20, 1, 5, 5),
        poolsize=(2, 2),
        activation_fn=activation_fn,
    )


def second_conv(activation_fn):
    return ConvPoolLayer(
        image_shape=(mini_batch_size, 20, 12, 12),
        filter_shape=(40, 20, 5, 5),
        poolsize=(2, 2),
        activation_fn=activation_fn,
    )


def double(activation_fn, n=100):
    """Two convolutional-pooling layers and a hidden one of n neurons."""
    return Network(
        [
            first_conv(activation_fn),
            second_conv(activation_fn),
            FullyConnectedLayer(n_in=40 * 4 * 4, n_out=n, activation_fn=activation_fn),
            SoftmaxLayer(n_in=n, n_out=10),
        ],
        mini_batch_size,
    )


def expanded_training_data():
    return network3.load_data_shared("../data/mnist_expanded.pkl.gz")[0]


def new_figure():
    from matplotlib.figure import Figure

    return Figure(layout="constrained")


# What may be named on the command line.
EXPERIMENTS = {
    "shallow": lambda runs=3, epochs=60: shallow(runs, epochs),
    "basic_conv": lambda runs=3, epochs=60: basic_conv(runs, epochs),
    "omit_FC": omit_FC,
    "dbl_conv": partial(dbl_conv, sigmoid),
    "regularized_dbl_conv": regularized_dbl_conv,
    "dbl_conv_relu": dbl_conv_relu,
    "expanded_data": partial(expanded_data, 100),
    "expanded_data_double_fc": partial(expanded_data_double_fc, 100),
    "double_fc_dropout": lambda runs=5, epochs=40: ensemble(double_fc_dropout(0.5, 0.5, 0.5, runs, epochs)),
}


def main(arguments=None):
    names = ", ".join(EXPERIMENTS)
    parser = argparse.ArgumentParser(description="The experiments of chapter 6, as its script has them.")
    parser.add_argument("experiments", nargs="*", help=f"some of {names}; by default all of the book's")
    parser.add_argument("--runs", type=int, help="networks of an experiment, instead of the book's number")
    parser.add_argument("--epochs", type=int, help="instead of the book's number")
    given = parser.parse_args(arguments)
    changed = {name: value for name in ("runs", "epochs") if (value := getattr(given, name)) is not None}
    unknown = [name for name in given.experiments if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"experiments has {unknown[0]!r}; expected some of {names}")
    if changed and not given.experiments:
        parser.error(f"--{next(iter(changed))} needs the names of experiments")
    for name in given.experiments:
        EXPERIMENTS[name](**changed)
    if not given.experiments:
        run_experiments()


if __name__ == "__main__":
    main()
