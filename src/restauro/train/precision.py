"""In which precision the convolutions of a run compute: what the recipe says, or what the processor is fast at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Precision:
    """A choice, and why it was made."""

    name: Literal["float32", "bfloat16"]
    why: str

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context that forward passes run in."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.name == "bfloat16")


def choose_precision(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Precision:
    """Decide for a device.

    ``auto`` is bfloat16 where the device multiplies in it, float32 elsewhere. A recipe that names one gets it: torch
    computes bfloat16 everywhere, and where the processor cannot, slowly.

    >>> choose_precision("float32", torch.device("cpu"))
    Precision(name='float32', why='named by the recipe')
    """
    has, what = _multiplies_bfloat16(device)
    match asked:
        case "auto" if has:
            return Precision("bfloat16", f"auto: {what}")
        case "auto":
            return Precision("float32", f"auto: {what}")
        case "bfloat16" if not has:
            return Precision("bfloat16", f"named by the recipe; emulated, because {what}: float32 is faster here")
        case _:
            return Precision(asked, "named by the recipe")


def _multiplies_bfloat16(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        # Without emulation: older GPUs say yes to bfloat16 and convert every number.
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return has, f"the GPU has {'' if has else 'no '}bfloat16"
    # Not torch.ops.mkldnn._is_mkldnn_bf16_supported: that is true for any AVX512, which converts every number.
    if torch.cpu._is_amx_tile_supported():
        return True, "the processor has AMX"
    if torch.cpu._is_avx512_bf16_supported():
        return True, "the processor has AVX512-BF16"
    return False, "the processor has neither AVX512-BF16 nor AMX"
