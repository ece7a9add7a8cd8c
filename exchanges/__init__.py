"""What trading venues have in common, and one package per venue that mirrors the others file by file.

Imports point at `shm` alone: an exchange never imports a strategy, a process or another exchange.
"""
