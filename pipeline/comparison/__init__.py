"""Restyle beside other programs, on the same weights in the same run: for measuring only."""
