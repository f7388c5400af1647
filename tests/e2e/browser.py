"""A webcam clip as the camera of a Chromium, and whether there is one."""

import sys
from itertools import islice
from pathlib import Path

import av

from server import chromium
from server.settings import Settings


def find_chromium() -> str | None:
    """Give the path of a Chromium: RESTYLE_CHROMIUM, else the first on the PATH."""
    return chromium.find_chromium(Settings().chromium)


def arguments(camera: Path | int | None) -> list[str]:
    """Give Chromium's flags; `camera`: a clip, or so many of its own; None: no leave to use one."""
    if camera is None:
        return list(chromium.QUIET)
    fake, clip = "--use-fake-device-for-media-stream", "--use-file-for-fake-video-capture"
    devices = (
        [f"{fake}=device-count={camera}"] if isinstance(camera, int) else [fake, f"{clip}={camera}"]
    )
    return [*chromium.QUIET, "--use-fake-ui-for-media-stream", *devices]


def write_camera(clip: Path, to: Path, width: int, height: int, fps: int, seconds: float) -> None:
    """Write `clip` as y4m, centre-cropped: the one format Chromium plays without a codec's cost.

    Where it has far more pictures a second than `fps`, it is thinned out.
    """
    graph_size = f"{width}:{height}"
    with av.open(str(clip)) as source, to.open("wb") as out:
        graph = av.filter.Graph()
        buffer = graph.add_buffer(template=source.streams.video[0])
        fill = graph.add("scale", f"{graph_size}:force_original_aspect_ratio=increase")
        crop = graph.add("crop", graph_size)
        form = graph.add("format", "pix_fmts=yuv420p")
        sink = graph.add("buffersink")
        graph.link_nodes(buffer, fill, crop, form, sink).configure()
        out.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        rate = source.streams.video[0].average_rate or fps
        step = max(1, round(rate / fps))
        for frame in islice(source.decode(video=0), 0, int(fps * seconds) * step, step):
            graph.push(frame)
            picture = graph.pull()
            assert isinstance(picture, av.VideoFrame)
            out.write(b"FRAME\n")
            out.write(picture.to_ndarray(format="yuv420p").tobytes())


if __name__ == "__main__":
    path = find_chromium()
    sys.stdout.write(f"{path}\n")
    sys.exit(path is None)
