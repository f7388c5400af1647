"""What can go wrong in the pipeline. Callers catch these, never `Exception`.

PipelineError
├── ConfigError         a setting no engine could honour; raised before any weight loads
│   └── NoRoom          one that this machine's memory has no room for
├── ModelError          a model folder that is missing, incomplete, unsafe or inconsistent
└── BackendUnavailable  the package or device a backend needs is not there
"""


class PipelineError(Exception):
    """Anything the pipeline refuses, with a sentence fit for a user."""


class ConfigError(PipelineError, ValueError):
    """A setting that no engine could honour."""


class NoRoom(ConfigError):
    """A setting for which the memory is not there; the message has both numbers."""


class ModelError(PipelineError):
    """A model folder that cannot be loaded; the message names the file or part."""


class BackendUnavailable(PipelineError):
    """The package or device that a backend needs is not there."""
