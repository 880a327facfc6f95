"""Published weights: their keys made ours, and nothing loaded that does not fit in full."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from restauro.errors import ModelError

COUNT = "num_batches_tracked"
"""Nothing is computed from it unless a norm's momentum is None."""
STATISTICS = ("running_mean", "running_var", COUNT)
"""What old PyTorch stored for norms that do not use it."""
SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}
"""The published names of spectral norm, and those of ``torch.nn.utils.parametrizations``."""


def fit_published(state: Mapping[str, Tensor], net: nn.Module, name: str = "the weights") -> dict[str, Tensor]:
    """Select the tensors of a published state that make up `net`.

    The prefix ``module.`` goes; running statistics go where the network has none; counts of batches, which PyTorch
    did not store before 0.4.1, stay the network's own; spectral norm is renamed where the network has PyTorch's newer
    one. Everything else must be there and of the network's shape: published loaders
    accept half a network in silence, this one does not.

    Parameters
    ----------
    state
        The published state dict.
    net
        The network whose keys are wanted; it is not changed.
    name
        What messages call the weights.

    Returns
    -------
    dict
        To be given to ``net.load_state_dict``.

    Raises
    ------
    ModelError
        Missing, surplus or misshapen tensors, with their number and the first of them.

    Examples
    --------
    >>> net = nn.Conv2d(3, 8, 3)
    >>> foreign = {"module." + key: value for key, value in net.state_dict().items()}
    >>> sorted(fit_published(foreign | {"module.running_mean": foreign["module.bias"]}, net))
    ['bias', 'weight']
    >>> fit_published({"bias": net.bias}, net)
    Traceback (most recent call last):
    ...
    restauro.errors.ModelError: the weights: found 1 missing (weight), wanted all 2 tensors of Conv2d; ...
    """
    wanted = net.state_dict()
    given = {_renamed(key.removeprefix("module."), wanted): value for key, value in state.items()}
    given = {key: value for key, value in given.items() if key in wanted or key.rpartition(".")[2] not in STATISTICS}
    given |= {key: value for key, value in wanted.items() if key.endswith(COUNT) and key not in given}
    faults = {
        "missing": [key for key in wanted if key not in given],
        "surplus": [key for key in given if key not in wanted],
        "of another shape": [key for key, value in given.items() if key in wanted and value.shape != wanted[key].shape],
    }
    said = [f"{len(keys)} {what} ({keys[0]})" for what, keys in faults.items() if keys]
    if said:
        raise ModelError(
            f"{name}: found {', '.join(said)}, wanted all {len(wanted)} tensors of {type(net).__name__}; "
            "build the network with the settings that the weights were trained with"
        )
    return given


def _renamed(key: str, wanted: Mapping[str, Tensor]) -> str:
    place, dot, last = key.rpartition(".")
    newer = place + dot + SPECTRAL.get(last, last)
    return newer if newer in wanted else key
