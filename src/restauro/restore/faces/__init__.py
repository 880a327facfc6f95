"""Faces in real pictures: find them, choose, cut each one out upright, and paste back what changed.

:mod:`~restauro.restore.faces.find` -> :mod:`~restauro.restore.faces.choose` ->
:mod:`~restauro.restore.faces.align` -> a model -> :mod:`~restauro.restore.faces.paste`. An aligned picture (the face
upright, filling it) needs only :func:`restauro.restore.faces.align.whole`, and no detector at all.
"""
