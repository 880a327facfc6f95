"""Mean intersection over union and pixel accuracy of label maps; higher is better.

``miou``            mean over classes of |P and T| / |P or T|, from one confusion matrix over *all* pictures, over the
                    classes that occur in the truth or in the prediction.
``pixel-accuracy``  share of labelled pixels that are right.

For translated pictures the prediction comes from a fixed segmentation network on the picture; this file only counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restauro.errors import SettingError

NAME = "miou"
NAME_ACCURACY = "pixel-accuracy"


def confusion(predicted: Tensor, truth: Tensor, *, classes: int, ignore: int | None = None) -> Tensor:
    """Count how often each true class was given each label.

    Parameters
    ----------
    predicted, truth
        Integer label maps of one shape, values 0..classes-1.
    classes
        Number of classes.
    ignore
        True label to leave out ("unlabelled"); it may lie outside 0..classes-1.

    Returns
    -------
    Tensor
        int64 [classes, classes], rows true, columns predicted. Add those of many pictures.

    Raises
    ------
    SettingError
        Shapes differ, labels are not integers, or a label is out of range.

    Examples
    --------
    >>> truth, predicted = torch.tensor([0, 0, 1, 9]), torch.tensor([0, 1, 1, 0])
    >>> confusion(predicted, truth, classes=2, ignore=9).tolist()
    [[1, 1], [0, 1]]
    """
    if classes < 1:
        raise SettingError("classes", classes, "a whole number from 1")
    if predicted.shape != truth.shape:
        raise SettingError("predicted", list(predicted.shape), f"the shape of the truth, {list(truth.shape)}")
    for name, labels in (("predicted", predicted), ("truth", truth)):
        if labels.is_floating_point() or labels.is_complex():
            raise SettingError(name, str(labels.dtype), "integer labels")
    predicted, truth = predicted.flatten().long(), truth.flatten().long()
    if ignore is not None:
        kept = truth != ignore
        predicted, truth = predicted[kept], truth[kept]
    for name, labels in (("predicted", predicted), ("truth", truth)):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise SettingError(name, f"labels {int(labels.min())}..{int(labels.max())}", f"0..{classes - 1}")
    return torch.bincount(truth * classes + predicted, minlength=classes**2).view(classes, classes)


def class_iou(matrix: Tensor) -> Tensor:
    """Intersection over union of each class; NaN for classes that occur nowhere.

    >>> class_iou(torch.tensor([[2, 1, 0], [0, 1, 0], [0, 0, 0]])).tolist()
    [0.666..., 0.5, nan]
    """
    counts = matrix.double()
    hits = counts.diagonal()
    return hits / (counts.sum(dim=0) + counts.sum(dim=1) - hits)


def mean_iou(matrix: Tensor) -> float:
    """Mean intersection over union, convention ``miou``, of a confusion matrix; NaN for an empty one.

    >>> round(mean_iou(torch.tensor([[2, 1, 0], [0, 1, 0], [0, 0, 0]])), 4)
    0.5833
    """
    return float(class_iou(matrix).nanmean())


def pixel_accuracy(matrix: Tensor) -> float:
    """Share of counted pixels on the diagonal, convention ``pixel-accuracy``; NaN where nothing was counted.

    >>> pixel_accuracy(torch.tensor([[2, 1], [0, 1]]))
    0.75
    """
    return float(matrix.diagonal().sum() / matrix.sum())
