"""The command line: serve, stylize, consistency, bench, top, doctor, models."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from server.settings import SettingsError, load_settings


def _path(given: str) -> Path:
    """Read a path; an empty one would be the folder that this runs in."""
    if not given:
        raise argparse.ArgumentTypeError("an empty path")
    return Path(given)


_ENGINE = (
    ("--model", str, "'embedded' or the path of a diffusers-format folder"),
    ("--autoencoder", str, "a folder that replaces the model's autoencoder, e.g. TAESD"),
    ("--lora", str, "a .safetensors file that is added to the model, e.g. LCM-LoRA"),
    ("--width", int, "pixels, a multiple of 8"),
    ("--height", int, "pixels, a multiple of 8"),
    ("--device", str, "auto, cpu or cuda"),
    ("--backend", str, "auto, openvino, eager, compiled, graphs or tensorrt"),
    ("--compile-mode", str, "of compiled: auto, default, reduce-overhead or max-autotune"),
    ("--precision", str, "auto, or fp8 in most layers: a GPU from RTX 40, L4 or H100 on"),
    ("--threads", int, "inference threads on the CPU; 0: cores - 1, for stylize all"),
    ("--feature-bank", int, "frames that attention also looks at, 0 .. 4; a PyTorch backend"),
    ("--feature-merge", int, "every so many frames one is merged into a bank of 1; 0: a queue"),
    ("--feature-fusion", float, "0 .. 1: how far features are drawn to those of the bank"),
    ("--max-rows", int, "rows of one call of the network, 1 .. 64; fewer take less GPU memory"),
)
_SIZE = ("--autoencoder", "--width", "--height", "--device", "--max-rows")
_SERVE = (
    ("--host", str, "address to listen on"),
    ("--port", int, "port to listen on"),
    ("--token", str, "token that opens the API; else one is made and kept"),
    ("--sessions", int, "how many at once; 0: from the measured speed"),
    ("--viewers", int, "how many may watch one session over WHEP"),
    ("--recordings", _path, "folder that sessions may record into; without it none is recorded"),
    ("--recordings-days", int, "days until recordings are removed; 0: they are kept (default)"),
    ("--stream-targets", str, "servers that sessions may stream to, rtmp[s]://host/path, by comma"),
    ("--stream-kbps", int, "bitrate of a stream to such a server"),
    ("--virtual-camera", str, "device of the virtual camera; default: the first that is free"),
    ("--schedule", str, "auto, step-major or stream-batch"),
    ("--tls-cert", _path, "certificate file"),
    ("--tls-key", _path, "key file"),
    ("--trusted-proxies", str, "addresses of proxies that do TLS, by comma"),
    ("--hosts", str, "further Host names to answer to, by comma"),
    ("--origins", str, "further origins that may write, by comma"),
    ("--ice-addresses", str, "addresses that media may use, by comma; default: --host"),
    ("--osc", int, "UDP port on 127.0.0.1 that takes style changes as OSC; 0: none"),
    ("--source-urls", str, "addresses that POST /api/sources may pull, by comma; default: none"),
    ("--source-devices", str, "cameras of this machine that it may open, by comma; default: none"),
    ("--source-folder", _path, "folder whose videos and images it may play; default: none"),
    ("--media-processes", int, "processes that hold connections; 0: the server's own holds them"),
    ("--drain-s", float, "seconds that sessions get at SIGTERM"),
    ("--log-level", str, "debug, info, warning or error"),
    ("--log-format", str, "text or json"),
)
_STYLE = (
    ("--prompt", str, "what the picture should look like"),
    ("--negative-prompt", str, "what it should not look like"),
    ("--strength", float, "0 .. 1"),
    ("--guidance-scale", float, "1 .. 10"),
    ("--guidance", str, "auto, none, self, initialize or full: what it leads away from"),
    ("--seed", int, "0 .. 2**32 - 1"),
    ("--steps", int, "1 .. 8"),
    ("--noise", str, "fixed, warped (carried by the picture) or fresh"),
    ("--deflicker", float, "0 .. 1, how much of the past steadies the picture"),
    ("--motion-noise", float, "0 .. 1, less noise while the picture moves"),
    ("--similarity-filter", float, "0 .. 1, skip frames that are so like the last; 0: none"),
)


def parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    root = argparse.ArgumentParser(
        prog="restyle",
        description="Restyles live video. Every option of serve may also stand in the "
        "environment, for example RESTYLE_PORT.",
    )
    commands = root.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="start the server and print its address")
    _add(serve, _SERVE + _ENGINE)
    serve.add_argument(
        "--engine-process",
        action=argparse.BooleanOptionalAction,
        help="run the engine in a process of its own, which is restarted when it dies (default); "
        "without, in the server's: one process to debug",
    )
    stylize = commands.add_parser("stylize", help="restyle a video file")
    for each in (serve, stylize):
        each.add_argument(
            "--warped-noise",
            action=argparse.BooleanOptionalAction,
            help="let styles ask for noise that the picture carries (default); without, such "
            "styles are refused and none of it runs",
        )
    stylize.add_argument("input", type=_path)
    stylize.add_argument("output", type=_path)
    _add(stylize, _STYLE + _ENGINE)
    stylize.add_argument(
        "--deflicker-search",
        action="store_true",
        default=None,
        help="look near by for what the motion lost",
    )
    stylize.add_argument(
        "--quality",
        choices=("live", "high"),
        default="live",
        help="high: blend frames with each other, minutes a second of film",
    )
    stylize.add_argument(
        "--blending",
        choices=("balanced", "accurate", "interpolation", "causal"),
        help="of --quality high; default: balanced",
    )
    stylize.add_argument("--window", type=int, help="frames to each side, 1 .. 30; default: 2")
    stylize.add_argument("--force", action="store_true", help="overwrite the output")
    consistency = commands.add_parser("consistency", help="measure how still a result holds")
    consistency.add_argument("input", type=_path)
    consistency.add_argument("stylized", type=_path)
    consistency.add_argument("--json", action="store_true")
    consistency.add_argument(
        "--baseline",
        type=_path,
        help="the same film unsmoothed: is the result as sharp and lively?",
    )
    consistency.add_argument("--plot", type=_path, help="a PNG file: the figures of every frame")
    consistency.add_argument(
        "--features", type=_path, help="folder with a network's weights: adds perceptual figures"
    )
    consistency.add_argument(
        "--clip",
        type=_path,
        help="folder of a CLIP model: how well the result agrees with --prompt",
    )
    consistency.add_argument("--prompt", help="what the result shows")
    bench = commands.add_parser("bench", help="measure on this machine, as JSON")
    _add_bench(bench.add_subparsers(dest="subject", required=True))
    top = commands.add_parser("top", help="show the sessions of a running server")
    _add_address(top)
    top.add_argument("--every", type=float, default=1.0, help="seconds between looks")
    top.add_argument("--once", action="store_true", help="look once, then end")
    top.add_argument("--json", action="store_true", help="for programs, one object a look")
    doctor = commands.add_parser("doctor", help="say what is installed and what would be used")
    _add(doctor, _ENGINE)
    models = commands.add_parser("models", help="say what can be loaded")
    models.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    models.add_argument("name", nargs="?", help="of show; default: embedded")
    _add(models, [option for option in _ENGINE if option[0] in _SIZE])
    return root


def _add_bench(subjects: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    engine = subjects.add_parser("engine", help="what a picture costs the model")
    latency = subjects.add_parser(
        "latency",
        help="from a picture drawn in Chromium to its being shown, by a running server",
    )
    for each in (engine, latency):
        each.add_argument("--json", action="store_true", help="the only form there is")
    engine.add_argument(
        "--compare", action="store_true",
        help="instead: a true architecture, random weights, beside diffusers and StreamDiffusion",
    )  # fmt: skip
    engine.add_argument("--architecture", help="of --compare: sd-turbo, sd15 or mini")
    engine.add_argument("--streamdiffusion", type=_path, help="of --compare: its checkout's folder")
    engine.add_argument("--steps", type=int, default=1, help="of --compare: 1 .. 8")
    engine.add_argument("--rounds", type=int, default=200, help="of --compare: frames of each arm")
    engine.add_argument("--compiled", action="store_true", help="of --compare: torch.compile, too")
    engine.add_argument("--plots", type=_path, help="a folder for PNG files of what was measured")
    engine.add_argument(
        "--warped-noise",
        action=argparse.BooleanOptionalAction,
        help="measure noise that the picture carries (default), too; without, none of it runs",
    )
    _add(engine, _ENGINE)
    latency.add_argument("--seconds", type=float, default=15, help="of each of the two rounds")
    latency.add_argument("--chromium", help="path of a Chromium; default: the first on the PATH")
    _add_address(latency)


def _add_address(to: argparse.ArgumentParser) -> None:
    """Add what tells which running server is meant."""
    to.add_argument("--url", help="its address; default: what --host and --port say")
    _add(to, tuple(option for option in _SERVE if option[0] in ("--host", "--port", "--token")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give the exit status: 0, or 2 after one sentence about what was wrong."""
    given = vars(parser().parse_args(arguments))
    command = given.pop("command")
    expected: tuple[type[Exception], ...] = (SettingsError, *_expected())
    try:
        return _run(command, given)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush
        return 0
    except expected as error:
        print(f"restyle: {error}", file=sys.stderr)
        return 2


def _run(command: str, given: dict[str, Any]) -> int:
    # each command imports what it needs: `restyle --help` must not load torch
    if command == "serve":
        from server.serve import serve

        return serve(load_settings(**given))
    if command == "stylize":
        from server.stylize import stylize

        return stylize(given)
    if command == "consistency":
        from server.consistency import consistency

        return consistency(
            given["input"],
            given["stylized"],
            given["json"],
            given["baseline"],
            given["plot"],
            given["features"],
            given["clip"],
            given["prompt"],
        )
    if command == "bench" and given.pop("subject") == "latency":
        from server.asking import Asking
        from server.latency import bench_latency

        url, seconds, _ = given.pop("url"), given.pop("seconds"), given.pop("json")
        settings = load_settings(**given)
        return bench_latency(Asking(settings, url), seconds, settings.chromium, _progress)
    if command == "bench":
        from server.bench import bench_engine
        from server.bench_compare import Comparison, bench_compare

        own = {name: given.pop(name) for name in Comparison.__slots__}
        compare = given.pop("compare")
        given.pop("json")
        settings = load_settings(**given)
        if compare:
            return bench_compare(settings, Comparison(**own), _progress)
        return bench_engine(settings, _progress, own["plots"])
    if command == "top":
        from server.asking import Asking
        from server.top import top

        own = {name: given.pop(name) for name in ("url", "every", "once", "json")}
        asking = Asking(load_settings(**given), own["url"])
        return top(asking, own["every"], own["once"], own["json"])
    if command == "doctor":
        from server.doctor import doctor

        return doctor(load_settings(**given))
    from server.models import list_models, show_model

    action, name = given.pop("action"), given.pop("name")
    if action == "list" and name:
        raise SettingsError(f"models list {name}: list takes no name; models show {name}?")
    model = name or "embedded"
    return list_models() if action == "list" else show_model(load_settings(model=model, **given))


def _progress(step: str) -> None:
    print(f"  {step} …", file=sys.stderr)


def _expected() -> tuple[type[Exception], ...]:
    from pipeline.errors import PipelineError
    from server.asking import AskingError
    from server.chromium import NoBrowser
    from streams.errors import StreamError

    return PipelineError, StreamError, AskingError, NoBrowser, OSError


def _add(
    to: argparse.ArgumentParser, options: Sequence[tuple[str, Callable[[str], Any], str]]
) -> None:
    for name, kind, help_text in options:
        to.add_argument(name, type=kind, help=help_text)


if __name__ == "__main__":
    sys.exit(main())
