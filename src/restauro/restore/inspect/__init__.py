"""Was this picture smoothed, by what, how strongly and where? Numbers of the pixels, a small classifier, a report."""
