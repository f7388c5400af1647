"""Whether the weights in a part's file have the shapes that its config.json speaks of.

The libraries find this out too, but late, after gigabytes are read, and without the shapes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.models.headers import Entry, read_header


def check_weights(name: str, class_name: str, config: dict[str, Any], file: Path) -> None:
    """Compare a part's file with its config. Raises ModelError that names part and both shapes."""
    entries = read_header(file)
    for tensor, axis, field, wanted in _expected(class_name, config):
        found = _find(entries, tensor)
        if found is not None and found.shape[axis] != wanted:
            raise ModelError(
                f"{name}: config.json says {field} {wanted}, but {tensor} in {file} has the shape "
                f"{list(found.shape)}; they are not of one model"
            )


def first_misfit(expected: Mapping[str, tuple[int, ...]], file: Path) -> str | None:
    """Name the first weight of a file that a network has another shape for, with both shapes.

    `expected` are the network's. A weight that one of the two lacks comes only after all others.
    """
    wanted = {_plain(name): shape for name, shape in expected.items()}
    found = {_plain(name): entry.shape for name, entry in read_header(file).items()}
    for name in sorted(wanted.keys() & found.keys()):
        if wanted[name] != found[name]:
            return f"{name} has the shape {list(found[name])}, {list(wanted[name])} is asked for"
    for name in sorted(wanted.keys() - found.keys()):
        return f"{name} is missing, {list(wanted[name])} is asked for"
    for name in sorted(found.keys() - wanted.keys()):
        return f"{name} has the shape {list(found[name])}, there is no place for it"
    return None


def _plain(name: str) -> str:
    """Give a weight's name without what CLIP's files differ in."""
    return name.removeprefix("text_model.")


def _find(entries: dict[str, Entry], ending: str) -> Entry | None:
    """Look a tensor up by the end of its name: CLIP's files differ in how they begin."""
    return next((e for name, e in sorted(entries.items()) if name.endswith(ending)), None)


def _expected(class_name: str, config: dict[str, Any]) -> Iterator[tuple[str, int, str, int]]:
    """Give tensor, axis, the config's field and what the axis should be."""
    if class_name == "UNet2DConditionModel":
        yield "conv_in.weight", 1, "in_channels", config["in_channels"]
        yield "conv_out.weight", 0, "out_channels", config["out_channels"]
        yield "attn2.to_k.weight", 1, "cross_attention_dim", config["cross_attention_dim"]
        pooled = config.get("projection_class_embeddings_input_dim")
        if pooled:
            field = "projection_class_embeddings_input_dim"
            yield "add_embedding.linear_1.weight", 1, field, pooled
    elif class_name == "AutoencoderKL":
        latent = config["latent_channels"]
        yield "decoder.conv_in.weight", 1, "latent_channels", latent
        yield "encoder.conv_out.weight", 0, "latent_channels (twice)", 2 * latent
    elif class_name == "AutoencoderTiny":
        yield "decoder.layers.0.weight", 1, "latent_channels", config["latent_channels"]
    elif class_name in ("CLIPTextModel", "CLIPTextModelWithProjection"):
        yield "token_embedding.weight", 1, "hidden_size", config["hidden_size"]
        tokens = config["max_position_embeddings"]
        yield "position_embedding.weight", 0, "max_position_embeddings", tokens
        if class_name.endswith("Projection"):
            yield "text_projection.weight", 0, "projection_dim", config["projection_dim"]
