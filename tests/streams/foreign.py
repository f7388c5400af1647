"""Servers of others that tests pull from: nginx (RTMP), GStreamer (RTSP), srt-live-transmit (SRT).

Debian: libnginx-mod-rtmp; python3-gi, gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and
-bad; srt-tools.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.streams.ports import listens
from tests.streams.waiting import until

_NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_PYTHON = "/usr/bin/python3"  # the system's, which has GStreamer
_RTSP = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
server.set_service(sys.argv[1])
factory.set_launch(
    f"( filesrc location={sys.argv[2]} ! qtdemux name=d d.video_0 ! queue ! h264parse ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 d.audio_0 ! queue ! aacparse ! "
    "rtpmp4gpay name=pay1 pt=97 )"
)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
GLib.MainLoop().run()
"""
_RTMP = """
daemon off; master_process off; error_log stderr crit; pid {folder}/nginx.pid;
load_module {module};
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}
"""


@contextmanager
def rtsp_server(film: Path, port: int) -> Iterator[str]:
    """Serve a film (MP4: H.264, AAC) to each who comes, from its start. Gives the address."""
    known = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if subprocess.run([_PYTHON, "-c", known], capture_output=True, check=False).returncode:
        pytest.skip("GStreamer's RTSP server is not installed")
    with _running([_PYTHON, "-c", _RTSP, str(port), str(film)], port):
        yield f"rtsp://127.0.0.1:{port}/live"


@contextmanager
def rtmp_server(folder: Path, port: int) -> Iterator[str]:
    """Pass on what is published. Gives the address."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if program is None or not _NGINX_MODULE.exists():
        pytest.skip("nginx with its RTMP module is not installed")
    config = folder / "nginx.conf"
    config.write_text(_RTMP.format(folder=folder, module=_NGINX_MODULE, port=port))
    with _running([program, "-p", str(folder), "-e", "stderr", "-c", str(config)], port):
        yield f"rtmp://127.0.0.1:{port}/live/key"


@contextmanager
def srt_relay(port_in: int, port_out: int) -> Iterator[str]:
    """Pass on what a caller sends to who calls next. Gives the address."""
    program = shutil.which("srt-live-transmit")
    if program is None:
        pytest.skip("srt-live-transmit (srt-tools) is not installed")
    ways = [f"srt://127.0.0.1:{port}?mode=listener" for port in (port_in, port_out)]
    with _running([program, "-q", "-loglevel:fatal", *ways], None):
        yield f"srt://127.0.0.1:{port_out}"


@contextmanager
def _running(command: list[str], port: int | None) -> Iterator[None]:
    """Run it once it listens (TCP)."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if port is not None:
            until(lambda: process.poll() is not None or listens(port))
            assert process.poll() is None, f"{command[0]} ended at once"
        yield
    finally:
        process.kill()
        process.wait()
