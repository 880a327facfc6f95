"""What lies beyond the border of a picture, for methods that divide transforms: nobody knows, and a step would ring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def continued(plane: NDArray[np.floating], margin: int) -> NDArray[np.floating]:
    """``margin`` more rows above and below: the reflection, which fades into that of the opposite border.

    The whole is periodic without a step. For columns hand in the transpose.

    >>> wide = continued(np.arange(8.0)[:, None], 2)[:, 0]
    >>> wide.shape, wide[2:-2].tolist() == list(range(8)), bool(np.abs(np.diff(np.append(wide, wide[0]))).max() < 3)
    ((12,), True, True)
    """
    after = np.pad(plane, ((0, 2 * margin), (0, 0)), mode="reflect")[len(plane) :]
    before = np.pad(plane, ((2 * margin, 0), (0, 0)), mode="reflect")[: 2 * margin]
    fade = ((np.arange(2 * margin) + 1) / (2 * margin + 1))[:, None]
    between = (1 - fade) * after + fade * before
    return np.concatenate([between[margin:], plane, between[:margin]])
