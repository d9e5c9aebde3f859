"""The training contract written a second time: plain NumPy, by formula, without any code of core's.

The suite's other checks of training run core's own step on a backend and evaluate core's own step for the
comparison, so a mistake in core would be on both sides. What is here is computed from the words of the
contract alone: the draws (`draws`), the layers with their hand-written gradients (`layers`), and the step
and the evaluation (`steps`).
"""
