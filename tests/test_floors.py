"""What is installed, and what may be installed, is not older than the versions with known holes."""

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
# package: (lowest version, why). docs/security.md names what was read and what was not verified.
FLOORS = {
    "aiortc": ("1.16", "decoder threads survive frames that do not decode"),
    "aioice": ("0.12", "needed by aiortc 1.16"),
    "av": ("17", "leak of each frame"),
    "pyOpenSSL": ("26", "CVE-2026-27459"),
    "starlette": ("1.3.1", "CVE-2026-48710 and others of its kind"),
    "fastapi": ("0.165", "needs a Starlette without them"),
    "torch": ("2.6", "CVE-2025-32434"),
    "diffusers": ("0.38", "CVE-2026-44513"),
    "transformers": ("5.5", "CVE-2026-4372, CVE-2026-5241"),
    "pillow": ("11.3", "CVE-2025-48379"),
    "safetensors": ("0.8", "needed by diffusers 0.38"),
}
# a package that something else brings along: its floor holds for the lock file only
BROUGHT_ALONG = {"pyOpenSSL"}


def canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonical(name): found.split(";")[0].strip() for name, found in pairs}


@pytest.mark.parametrize("package", FLOORS)
def test_what_is_installed_and_locked_is_new_enough(package: str) -> None:
    floor = Version(FLOORS[package][0])
    assert Version(version(package)) >= floor, FLOORS[package][1]
    assert Version(locked()[canonical(package)]) >= floor, FLOORS[package][1]


@pytest.mark.parametrize("package", sorted(set(FLOORS) - BROUGHT_ALONG))
def test_nothing_older_may_be_installed(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {r.name: r for r in map(Requirement, project["dependencies"])}
    lowest = next(s.version for s in wanted[package].specifier if s.operator == ">=")
    assert Version(lowest) >= Version(FLOORS[package][0]), FLOORS[package][1]


def test_every_dependency_has_a_floor_and_stands_in_the_lock_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        assert {"==", ">=", "~="} & {s.operator for s in requirement.specifier}, requirement
        if requirement.marker is None or requirement.marker.evaluate():
            assert canonical(requirement.name) in locked(), requirement
