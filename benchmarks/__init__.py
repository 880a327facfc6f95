"""Time and memory by size, peers side by side: ``python -m benchmarks.run NAME --date TODAY``."""
