"""The container files are well-formed and keep their promises; nothing here needs an engine."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_the_dockerfile_passes_hadolint() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint has no build for this platform")
    done = subprocess.run([hadolint, "docker/Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_file_that_the_image_copies_is_there() -> None:
    for line in (ROOT / "docker/Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.split()[1:]
            for source in sources:
                assert (ROOT / source).exists(), line


def test_no_stage_that_runs_is_root_and_each_has_a_health_check() -> None:
    stages = (ROOT / "docker/Dockerfile").read_text().split("\nFROM ")
    running = [stage for stage in stages if "ENTRYPOINT" in stage]
    assert len(running) == 2
    for stage in running:
        assert "\nUSER 10001" in stage
        assert "\nHEALTHCHECK" in stage


def test_compose_drops_capabilities_and_mounts_what_exists() -> None:
    compose = yaml.safe_load((ROOT / "docker/compose.yml").read_text())
    for service in compose["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / "docker" / source).exists()


def test_the_image_installs_what_the_project_asks_for() -> None:
    done = subprocess.run(
        [sys.executable, "docker/requirements.py"], cwd=ROOT, capture_output=True, text=True
    )
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert done.stdout.split("\n")[:-1] == wanted


def test_the_lock_holds_every_dependency() -> None:
    locked = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = project["project"]["dependencies"] + groups["dev"] + groups["foreign"]
    names = {
        "".join(w.split(";")[0].split("=")[0]).split(">")[0].split("<")[0].strip() for w in wanted
    }
    assert {name.lower() for name in names} <= locked
