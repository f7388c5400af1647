"""The model that ships with Restyle, and how it was made: README.md has a command a stage."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
