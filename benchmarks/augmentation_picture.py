"""Draws docs/figures/augmentation.png: digits as they are, and under each augmentation, four draws each."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import isograd
from isograd.training import Affine, Augmentation, Elastic, OnePixelShifts
from isograd.training.images import Images

ROWS: dict[str, tuple[Augmentation, ...]] = {
    "as they are": (),
    "OnePixelShifts": (OnePixelShifts(),),
    "Affine": (Affine(rotation=15, log_scale=0.15, shift=2, shear=0.2),),
    "Elastic": (Elastic(),),
    "Affine, Elastic": (Affine(rotation=15, log_scale=0.15, shift=2, shear=0.2), Elastic()),
}

data = isograd.load_dataset("mnist").training
examples = np.repeat(np.arange(3, dtype=np.int32), 4)[None]
figure, axes = plt.subplots(len(ROWS), 12, figsize=(12, 5.4))
for line, (name, augmentation) in zip(axes, ROWS.items(), strict=True):
    images, _ = Images(data, augmentation).make(0, 0, 0, examples)
    for place, image in zip(line, images[0, :, 0], strict=True):
        place.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        place.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
figure.tight_layout(pad=0.3)
figure.savefig(Path(__file__).parent.parent / "docs" / "figures" / "augmentation.png", dpi=80)
