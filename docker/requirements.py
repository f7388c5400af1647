"""Print the run-time requirements of pyproject.toml, one a line, for pip."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
sys.stdout.write("\n".join(project["dependencies"]) + "\n")
