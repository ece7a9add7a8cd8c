"""Thin mains that wire the parts together, and what every process needs: config, log, control, life cycle.

Nothing imports this package but itself and the tests: imports point from here to `strategy`, `exchanges` and `shm`.
"""
