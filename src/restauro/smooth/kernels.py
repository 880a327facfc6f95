"""How the compiled loops of this folder are compiled, and the elementary functions they call.

numba calls the C library once per number; :func:`exp2` and :func:`power` are a few multiplications that a
compiler can run on whole vectors: about 30 times faster in float32, relative error below 3e-7. Float64
keeps the C library.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

# Contraction (fused multiply-add) and the sign of zero are the only liberties: results do not depend on
# threads. The numpy error model: a check for division by zero would keep loops from running on whole vectors.
kernel = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})

F = np.float32  # a plain constant would turn float32 into float64
_SQRT_HALF = np.int32(0x3F3504F3)  # the bits of the float32 sqrt(1/2)


def exp2(t: Any) -> Any:
    """2^t for t below 127, inside a kernel; float32 stops at 2^-126."""
    raise NotImplementedError("for numba kernels only")


def power(u: Any, exponent: Any) -> Any:
    """u^exponent for u above 0, inside a kernel."""
    raise NotImplementedError("for numba kernels only")


@overload(exp2)
def _exp2(t: Any) -> Any:
    if t != types.float32:

        def exact(t: Any) -> Any:
            return math.pow(2.0, t)

        return exact

    def fast(t: Any) -> Any:
        t = max(t, F(-126))
        whole = np.floor(t + F(0.5))
        r = t - whole  # Chebyshev fit of 2^r on [-1/2, 1/2], error 3e-9
        p = F(1.54614447e-4)
        p = p * r + F(1.34004282e-3)
        p = p * r + F(9.61805668e-3)
        p = p * r + F(5.55032723e-2)
        p = p * r + F(2.40226509e-1)
        p = p * r + F(6.93147207e-1)
        p = p * r + F(1)
        return p * np.int32((whole + F(127)) * F(8388608)).view(np.float32)

    return fast


@overload(power)
def _power(u: Any, exponent: Any) -> Any:
    if u != types.float32:

        def exact(u: Any, exponent: Any) -> Any:
            return math.pow(u, exponent)

        return exact

    def fast(u: Any, exponent: Any) -> Any:
        bits = np.float32(u).view(np.int32)
        octave = np.int32(np.int32(bits - _SQRT_HALF) >> np.int32(23))
        m = np.int32(bits - np.int32(octave << np.int32(23))).view(np.float32)  # sqrt(1/2) <= m < sqrt(2)
        s = (m - F(1)) / (m + F(1))  # log m = 2 atanh(s), |s| < 0.172
        s2 = s * s
        p = F(0.32059890)
        p = p * s2 + F(0.41219858)
        p = p * s2 + F(0.57707802)
        p = p * s2 + F(0.96179669)
        p = p * s2 + F(2.88539008)
        return exp2(exponent * (F(octave) + s * p))

    return fast
