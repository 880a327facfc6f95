"""Deblurring without training: kernels estimated, and blur taken back by a kernel."""
