"""Classical smoothing filters, one paper one file; :mod:`.catalogue` is the table of them all.

Every filter is a frozen settings class that checks itself and one function of ([N, C, H, W], settings).
"""
