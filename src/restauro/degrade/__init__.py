"""Degradations: the laws that turn a good picture into a worse one, seeded and recorded."""
