"""GRVT perpetuals. One module per idea, the same names as in the other venues' packages."""
