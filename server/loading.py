"""The engine as requests find it: there, still loading, or not to be had."""

from pipeline.results import EngineInfo
from server.errors import ApiError
from streams.worker import Worker

_RETRY = 1  # seconds; a page that waits for the model shows it as soon as it is there


def engine_if_loaded(worker: Worker) -> EngineInfo | None:
    """Describe the engine; None while the model loads, and when it could not be loaded."""
    ready = worker.ready
    return ready.result() if ready.done() and ready.exception() is None else None


def engine_of(worker: Worker) -> EngineInfo:
    """Describe the engine. Raises ApiError 503 while there is none."""
    engine = engine_if_loaded(worker)
    if engine is not None:
        return engine
    if worker.ready.done():
        raise ApiError("engine_failed", "the model could not be loaded", 60)
    raise ApiError("loading", "the model is loading", _RETRY)
