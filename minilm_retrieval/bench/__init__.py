"""Measure this engine on the user's own machine, next to what is installed beside it."""
