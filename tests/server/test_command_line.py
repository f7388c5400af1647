"""What the commands print and how they end.

A process of its own costs seconds for imports, so only what is about processes starts one; the
others call `main`, which gives the exit status.
"""

import json
import pickle
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import av
import httpx
import psutil
import pytest
import torch

from server.__main__ import main
from server.stylize import _ended_by_sigterm
from tests.e2e.serving import LIGHT, TOKEN, Server, serving
from tests.e2e.serving import status as http_status
from tests.streams.ports import free_port

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "tests" / "fixtures" / "webcam.mp4"
pytestmark = pytest.mark.slow


def restyle(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def in_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Give the exit status, and what was printed to standard output and standard error."""
    status = main(arguments)
    return (status, *capsys.readouterr())


def short_clip(path: Path, frames: int) -> Path:
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 400, 300, "yuv420p"
        for _, frame in zip(range(frames), source.decode(video=0), strict=False):
            frame.pict_type = av.video.frame.PictureType.NONE
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--width", "250"), "multiple of 8"),
        (("serve", "--model", "/nowhere"), "no such folder"),
        (("serve", "--host", "0.0.0.0"), "tls_cert"),
        (("stylize", "/nowhere.mp4", "/tmp/out.mp4"), "no such file"),
        (("stylize", __file__, "/tmp/out.mp4"), "not a video"),
        (("stylize", str(CLIP), str(CLIP)), "--force"),
        (("stylize", str(CLIP), "/tmp/never.mp4", "--strength", "2"), "strength"),
        (("stylize", str(CLIP), "/tmp/never.mp4", "--window", "2"), "--quality high"),
        (
            ("stylize", str(CLIP), "/tmp/never.mp4", "--quality", "high", "--window", "0"),
            "window 0",
        ),
        (("consistency", "/nowhere.mp4", str(CLIP)), "no such file"),
        (("models", "list", "sd-turbo"), "models show sd-turbo"),
        (("top", "--once", "--url", "http://[::1", "--token", TOKEN), "http://[::1"),
        (("top", "--once", "--url", "http://a b", "--token", TOKEN), "http://a b"),
        (("serve", "--tls-cert", __file__, "--tls-key", __file__), "tls_key"),
    ],
)
def test_a_wrong_call_ends_with_status_2_and_a_sentence(
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    logging_as_it_was: None,
) -> None:
    status, _, said = in_here(capsys, *arguments)
    assert status == 2
    assert words in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("serve", "--fly"), "--fly"), (("models", "show", "/nowhere"), "no such folder")],
)
def test_the_process_of_a_wrong_call_ends_so_without_a_traceback(
    arguments: tuple[str, ...], words: str
) -> None:
    done = restyle(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pickle_as_model_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model.ckpt"
    model.write_bytes(pickle.dumps({}))
    done = restyle("serve", "--model", str(model))
    assert (done.returncode, "convert it first" in done.stderr) == (2, True)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = restyle("serve", "--port", port)
    assert (done.returncode, f"port {port}" in done.stderr) == (2, True)


def test_stylize_writes_as_many_frames_as_it_reads(tmp_path: Path) -> None:
    clip, out = short_clip(tmp_path / "in.mp4", 5), tmp_path / "out.mp4"
    done = restyle("stylize", str(clip), str(out), "--prompt", "a pencil drawing", "--steps", "2")
    assert done.returncode == 0, done.stderr
    assert frames_of(out) == frames_of(clip) == 5
    assert "5 frames" in done.stdout


@pytest.mark.long
def test_stylize_at_high_quality_blends_every_frame(tmp_path: Path) -> None:
    clip, out = short_clip(tmp_path / "in.mp4", 4), tmp_path / "out.mp4"
    small = ("--width", "64", "--height", "64", "--backend", "eager")
    done = restyle("stylize", str(clip), str(out), "--quality", "high", "--window", "1", *small)
    assert done.returncode == 0, done.stderr
    assert frames_of(out) == 4


def test_consistency_compares_two_videos_of_one_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    six, five = short_clip(tmp_path / "six.mp4", 6), short_clip(tmp_path / "five.mp4", 5)

    _, same, _ = in_here(capsys, "consistency", str(six), str(six), "--json")
    figures = json.loads(same)
    assert figures["frames"] == 6
    assert figures["warp_error_1"] == figures["warp_error_1_input"]
    assert figures["motion_ratio"] == 1

    status, _, said = in_here(capsys, "consistency", str(six), str(five))
    assert status == 2
    assert "five.mp4: ends after 5 frames" in said


def test_models_and_doctor_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert "embedded" in in_here(capsys, "models")[1]
    shown = in_here(capsys, "models", "show", "embedded", "--width", "512")[1]
    assert "Pencil" in shown
    assert "GB on" in shown
    assert "at 512x256: weights" in shown
    assert "engine openvino" in in_here(capsys, "doctor")[1]
    if not torch.cuda.is_available():
        status, looks, _ = in_here(capsys, "doctor", "--backend", "tensorrt")
        assert status == 1
        assert "MISSING  backend tensorrt needs an NVIDIA GPU" in looks


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the product, idle."""
    with serving(tmp_path_factory.mktemp("state")) as server:
        yield server


def test_the_server_listens_on_loopback_only(running: Server) -> None:
    found = psutil.Process(running.pid).net_connections()
    assert {c.laddr.ip for c in found if c.laddr} == {"127.0.0.1"}
    assert http_status(f"{running.url}/readyz") == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_process_of_it_leaves_a_core_file(tmp_path: Path) -> None:
    """One would hold camera pictures, prompts and tokens."""
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if most == 0:
        pytest.skip("core files are off for everything here")
    allowed = ("sh", "-c", f'ulimit -S -c {"unlimited" if most < 0 else most}; exec "$@"', "sh")
    server = Server(
        free_port(), "--media-processes", "1", state=tmp_path, within=allowed, module=LIGHT
    )
    try:
        server.wait_ready()
        here = psutil.Process(server.pid)
        found = {each.pid: core_limits(each.pid) for each in (here, *here.children(recursive=True))}
        assert len(found) >= 3  # the server's, the engine's, one for media
        assert set(found.values()) == {("0", "0")}, found
    finally:
        server.stop()


def test_what_ends_the_whole_group_leaves_the_drain_to_the_server(tmp_path: Path) -> None:
    """A supervisor sends SIGTERM to all processes, a terminal Ctrl-C: sessions have to drain."""
    server = Server(free_port(), "--media-processes", "1", state=tmp_path, module=LIGHT)
    try:
        server.wait_ready()
        children = psutil.Process(server.pid).children(recursive=True)
        for child, how in product(children, (signal.SIGTERM, signal.SIGINT)):
            child.send_signal(how)
        ended, running = psutil.wait_procs(children, timeout=1)
        assert (ended, len(running) >= 2) == ([], True)
        assert server.stop(signal.SIGTERM) == 0
        assert not any("was lost" in line for line in server.lines), server.lines
    finally:
        server.stop()


def test_a_film_that_is_written_ends_at_sigterm_like_at_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, _ended_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_state_folder_that_cannot_be_used_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    logging_as_it_was: None,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    monkeypatch.delenv("RESTYLE_TOKEN", raising=False)
    status, _, said = in_here(capsys, "serve")
    assert status == 2
    assert said.count("\n") == 1
    assert "/dev/null/restyle/token" in said


def core_limits(pid: int) -> tuple[str, ...]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    line = next(line for line in lines if line.startswith("Max core file size"))
    return tuple(line.split()[4:6])


def test_answers_on_a_kept_connection_wait_for_no_acknowledgement(running: Server) -> None:
    """Linux holds an acknowledgement back for 40 ms; small answers must not wait for it."""
    took = []
    with httpx.Client(
        base_url=running.url, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as connection:
        for _ in range(40):
            began = time.monotonic()
            connection.get("/api/sessions")
            took.append(time.monotonic() - began)
    # at first Linux acknowledges at once; a busy machine is slow at some of them, not at all
    assert statistics.quantiles(took[20:], n=4)[0] < 0.03, took


def test_top_asks_a_running_server(running: Server, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("top", "--url", running.url, "--once", "--token")
    _, once, _ = in_here(capsys, *asked, TOKEN, "--json")
    _, shown, _ = in_here(capsys, *asked, TOKEN)
    refused, _, said = in_here(capsys, *asked, "wrong" * 5)
    assert json.loads(once)["sessions"] == {"sessions": []}
    assert "no session is open" in shown
    assert (refused, "401" in said) == (2, True)


def test_the_second_start_is_quick_and_sigterm_ends_an_idle_server_with_status_0(
    running: Server, tmp_path: Path
) -> None:
    second = Server(free_port(), state=tmp_path)  # `running` was the first
    try:
        assert second.wait_ready() < 30  # 4 s alone
        began = time.monotonic()
        assert second.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 20  # and not those that a drain may take
    finally:
        second.stop()


def test_the_servers_process_loads_no_torch() -> None:
    """It would answer two seconds later: the engine's process has torch."""
    loaded = "import sys, server.serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=False).returncode == 0


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "server", "models", "show", "embedded"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()  # long before it prints: it loads torch first
        assert started.wait(60) == 0
        assert started.stderr.read() == ""
