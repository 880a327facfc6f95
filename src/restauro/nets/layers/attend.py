"""Softmax attention over one-channel maps in linear time: no table of n x n numbers, whatever the size.

DeSmoothGAN's full attention (eqs. 2-4) makes three maps f, g, h of n positions, one number each, and sums over all:

    y_j = sum_i h_i M_ij,      M = softmax(f^T g).

One number per position is what saves us: y_j depends on j through g_j alone. With the softmax over i (*key* axis:
attention as it is usually meant, y_j between min h and max h)

    y_j = F(g_j),      F(t) = sum_i h_i e^{f_i t} / sum_i e^{f_i t},

one smooth function per picture. Its features are 1 / range(f) wide near t = 0 and widen with |t|: in the coordinate
u = asinh(t / s), s = 8 / range(f), a Chebyshev series of some dozens of terms gives it to rounding. K sums over n
positions, n evaluations; K grows like log(range(f) range(g)).

With the softmax over j (*query* axis: the last dimension of M, read literally; y is then no mean, and can be huge)

    y_j = G(g_j),      G(t) = sum_i h_i e^{f_i t - l(f_i)},      l(p) = log sum_j e^{p g_j},

two such functions, one after the other; G is entire and wants plain t.

Gradients are written by hand. In f and h the backward pass is the exact transpose of the series; in g it
interpolates the exact derivative of F or G.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from restauro.errors import SettingError
from restauro.nets.layers.chebyshev import Curve, Interval, asinh, evaluate, moments, transform

SoftmaxAxis = Literal["key", "query"]

#: A series is long enough when its :attr:`Curve.tail` is at most this part of max|h - mean h|.
#: Rounding leaves up to 4e-6 of it in float32.
TAIL = {torch.float32: 5e-6, torch.float64: 1e-11}
#: Exponentials that the query axis holds at once: 1 MiB.
HELD = 2**17


def attend(f: Tensor, g: Tensor, h: Tensor, axis: SoftmaxAxis = "key", nodes: int | None = None) -> Tensor:
    """Compute y_j = sum_i h_i softmax(f_i g_j).

    Parameters
    ----------
    f, g, h
        [N, n] each, float32 or float64.
    axis
        Over which index the softmax runs: ``"key"`` i, ``"query"`` j. The query axis computes in float64, which
        its large numbers need.
    nodes
        Terms of the series. None takes as many as the ranges of f and g ask for, and twice as many while the tail
        of the series is not small, which reads numbers back from the device. A fixed number has no such branch: to
        export, or to keep a GPU busy. On the key axis 96 do for range(f) range(g) up to some 500.

    Returns
    -------
    Tensor
        [N, n]; differentiable once in f, g and h.

    Notes
    -----
    O(n nodes) time, O(n) memory. Measured against dense softmaxes in float64, up to 64 x 64 positions, deviations
    of f and g up to 10, two far outliers: largest error 1e-11 of the result's range in float64; in float32 3e-6, on
    the key axis 1e-6 of the range of h. Long float32 sums lose no digits there: torch's attention sums in blocks.

    Examples
    --------
    >>> f, g, h = torch.randn(3, 1, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> dense = h @ torch.softmax(f.T * g, dim=0)
    >>> bool((attend(f, g, h) - dense).abs().max() < 1e-9)
    True
    """
    if not (torch.is_grad_enabled() and (f.requires_grad or g.requires_grad or h.requires_grad)):
        return attention_curve(f, g, h, axis, nodes)(g)
    _check(f, g, h, axis, nodes)
    y: Tensor
    with torch.autocast(f.device.type, enabled=False):
        if axis == "key":
            y = _Key.apply(f, g, h, nodes)
        else:
            y = _Query.apply(f.double(), g.double(), h.double(), nodes).to(g)
    return y


def attention_curve(f: Tensor, g: Tensor, h: Tensor, axis: SoftmaxAxis = "key", nodes: int | None = None) -> Curve:
    """The function t -> y of the attention, fitted on the range of g: :func:`attend` is ``curve(g)``.

    It needs the whole picture; afterwards each position needs its own g alone. This makes tiles exact, and it is
    what there is to look at in a layer. Parameters as :func:`attend`; no gradient flows through it.
    """
    _check(f, g, h, axis, nodes)
    with torch.no_grad(), torch.autocast(f.device.type, enabled=False):
        if axis == "key":
            return _fit_key(f, g, h, nodes).curve
        return _fit_query(f.double(), g.double(), h.double(), nodes).curve


def attention_row(f: Tensor, g_j: Tensor) -> Tensor:
    """What each position contributes to one of them (key axis): softmax_i(f_i g_j) [N, n], for f [N, n] and g_j [N].

    >>> attention_row(torch.tensor([[0.0, 0.0]]), torch.tensor([3.0]))
    tensor([[0.5000, 0.5000]])
    """
    return torch.softmax(f * g_j[:, None], dim=1)


def _check(f: Tensor, g: Tensor, h: Tensor, axis: str, nodes: int | None) -> None:
    if axis not in ("key", "query"):
        raise SettingError("axis", axis, "key or query")
    if nodes is not None and not 4 <= nodes <= 4096:
        raise SettingError("nodes", nodes, "4 to 4096 terms, or None for as many as the data need")
    for name, x in (("f", f), ("g", g), ("h", h)):
        if x.dtype not in (torch.float32, torch.float64) or x.dim() != 2 or x.shape != f.shape:
            raise SettingError(name, f"{x.dtype} {list(x.shape)}", f"float32 or float64 of {list(f.shape[:2])}")


# ---- key axis


def _expectation(t: Tensor, f: Tensor, h: Tensor) -> Tensor:
    """F(t_k) = E[h] under weights softmax_i(f_i t_k): [N, K]. Torch's attention does it in blocks, without a table."""
    query, key, value = (x[:, None, :, None] for x in (t, f, h))
    return nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0, :, 0]


class _KeyFit(NamedTuple):
    t: Tensor
    f: Tensor  # shifted: F does not change with it
    h: Tensor  # less its mean, by which F changes; both shifts save digits
    curve: Curve


def _fit_key(f: Tensor, g: Tensor, h: Tensor, nodes: int | None, for_gradients: bool = False) -> _KeyFit:
    f, half_range = _centred(f)
    mean = h.mean(1, keepdim=True)
    h = h - mean
    interval = Interval.of(g, 4 / half_range.clamp_min(1e-6))
    # 8 + 8 range(u) terms do unless some f lie far from all others, and then the tail shows it; slopes want twice.
    count = nodes or _sixteens((16 if for_gradients else 8) * (1 + 2 * float(interval.half.max())), 512)
    most = count if nodes else 4 * count
    while True:
        t = interval.points(count)
        curve = Curve.through(_expectation(t, f, h), interval, plus=mean)
        if count >= most or not bool((curve.tail > TAIL[f.dtype] * h.abs().amax(1)).any()):
            return _KeyFit(t, f, h, curve)
        count *= 2


class _Key(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Tensor, g: Tensor, h: Tensor, nodes: int | None) -> Tensor:
        fit = _fit_key(f, g, h, nodes, for_gradients=True)
        x = fit.curve.interval.position(g)
        ctx.interval = fit.curve.interval
        ctx.save_for_backward(fit.t, fit.f, fit.h, x)
        return evaluate(fit.curve.coefficients, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        t, f, h, x = (saved.detach().requires_grad_(index < 3) for index, saved in enumerate(ctx.saved_tensors))
        with torch.autocast(v.device.type, enabled=False):
            with torch.enable_grad():
                values = _expectation(t, f, h)
            (slope,) = torch.autograd.grad(values, t, torch.ones_like(values), retain_graph=True)
            grad_g = v * evaluate(Curve.through(slope, ctx.interval).coefficients, x)
            grad_f, grad_h = torch.autograd.grad(values, (f, h), _to_nodes(v, x, t.shape[1]))
        return grad_f, grad_g, grad_h, None


# ---- query axis


class Exponentials:
    """The matrix E_ki = e^{t_k f_i - offset_ki}, [N, K, n], as an operator: it is never held whole.

    t is [N, K], f is [N, n]; the offset is [N, K, 1] or [N, 1, n], such that no exponent is much above 0.
    """

    def __init__(self, t: Tensor, f: Tensor, offset: Tensor) -> None:
        self.t, self.f, self.offset = t, f, offset

    def gather(self, rows: Tensor) -> Tensor:
        """Sums over positions: rows [N, c, n] to [N, c, K]."""
        sums = rows.new_empty(*rows.shape[:2], self.t.shape[1])  # one tensor: small ones would fragment the heap
        for chunk, e in self._chunks():
            sums[..., chunk] = rows @ e.mT
        return sums

    def spread(self, rows: Tensor) -> Tensor:
        """The transpose, sums over nodes: rows [N, c, K] to [N, c, n]."""
        sums = rows.new_zeros(*rows.shape[:2], self.f.shape[1])
        for chunk, e in self._chunks():
            sums += rows[..., chunk] @ e
        return sums

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Some nodes at a time: which, and their exponentials [N, nodes, n]."""
        step = max(1, HELD // self.f.numel())
        for start in range(0, self.t.shape[1], step):
            chunk = slice(start, start + step)
            offset = self.offset[:, chunk] if self.offset.shape[2] == 1 else self.offset
            yield chunk, torch.addcmul(-offset, self.t[:, chunk, None], self.f[:, None]).exp_()


class _QueryFit(NamedTuple):
    normaliser: Exponentials  # E'_kj = e^{p_k g_j - |p_k| range(g) / 2}
    total: Tensor  # sum_j E'_kj
    mean_g: Curve  # l'(p)
    e: Exponentials  # e^{t_k f_i - l(f_i)}
    curve: Curve
    slope: Curve


def _fit_query(f: Tensor, g: Tensor, h: Tensor, nodes: int | None) -> _QueryFit:
    centred, half_range = _centred(g)  # shifting g changes nothing
    scale = 4 / half_range.clamp_min(1e-6)
    keys = Interval.of(f, scale)
    p = keys.points(nodes or _sixteens(16 + 32 * float(keys.half.max()), 384))
    normaliser = Exponentials(p, centred, (p.abs() * half_range)[:, :, None])
    total, sums = normaliser.gather(torch.stack([torch.ones_like(g), centred], 1)).unbind(1)
    # log(total) = l(p) - |p| range(g) / 2 has a kink at 0; 4 (cosh u - 1) in place of |p| range(g) / 2 has none,
    # and is no larger: what is left to interpolate stays between 0 and 4 + log n.
    log_total = Curve.through(total.log() + _kink(p / scale), keys)
    l_f = log_total(f) - _kink(f / scale) + f.abs() * half_range
    queries = Interval.of(g)
    t = Interval(torch.zeros_like(queries.middle), queries.half).points(nodes or _plain_nodes(f, half_range))
    e = Exponentials(t, f, l_f[:, None])
    values, slopes = e.gather(torch.stack([h, h * f], 1)).unbind(1)
    mean_g = Curve.through(sums / total, keys)
    return _QueryFit(normaliser, total, mean_g, e, Curve.through(values, queries), Curve.through(slopes, queries))


class _Query(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Tensor, g: Tensor, h: Tensor, nodes: int | None) -> Tensor:
        at = _fit_query(f, g, h, nodes)
        ctx.at, ctx.x = at, at.curve.interval.position(g)
        ctx.save_for_backward(f, h)
        return evaluate(at.curve.coefficients, ctx.x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        at: _QueryFit = ctx.at
        f, h = ctx.saved_tensors
        with torch.autocast(v.device.type, enabled=False):
            q = _to_nodes(v, ctx.x, at.curve.coefficients.shape[1])
            grad_h, slopes = at.e.spread(torch.stack([q, q * at.e.t], 1)).unbind(1)
            grad_l = -h * grad_h
            keys = at.mean_g.interval
            grad_f = h * slopes + grad_l * at.mean_g(f)
            # l(f_i) depends on all g_j: dl(p)/dg_j = p E'_pj / total
            r = _to_nodes(grad_l, keys.position(f), at.total.shape[1]) * at.normaliser.t / at.total
            grad_g = v * evaluate(at.slope.coefficients, ctx.x) + at.normaliser.spread(r[:, None])[:, 0]
            return grad_f, grad_g, grad_h, None


def _to_nodes(v: Tensor, x: Tensor, count: int) -> Tensor:
    """The transpose of interpolation: what an upstream v at positions x means for the values at the nodes."""
    return moments(v, x, count) @ transform(count, v)


def _centred(x: Tensor) -> tuple[Tensor, Tensor]:
    """Take the middle of its range from x; return also half of the range [N, 1]."""
    low, high = x.aminmax(dim=1, keepdim=True)
    return x - (low + high) / 2, (high - low) / 2


def _kink(sinh_u: Tensor) -> Tensor:
    """|p| range(g) / 2 - 4 (cosh u - 1) = 4 (1 - e^{-|u|}), where p = s sinh u and s = 8 / range(g)."""
    return -4 * torch.expm1(-asinh(sinh_u).abs())


def _plain_nodes(f: Tensor, half_range: Tensor) -> int:
    """24 + 3 sqrt(2 max|f| range(g)): here a common offset of f counts, e^{f t} is as steep with it."""
    steepest = f.abs().amax(dim=1, keepdim=True)
    return _sixteens(24 + 3 * math.sqrt(float((4 * steepest * half_range).max())), 1024)


def _sixteens(count: float, most: int) -> int:
    """Round up to a multiple of 16; where the count is not finite, the inputs were not, and nothing matters."""
    return min(max(16 * math.ceil(count / 16), 16), most) if math.isfinite(count) else most
