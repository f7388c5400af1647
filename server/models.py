"""`restyle models`: what can be loaded, what it needs, what is there."""

from pipeline.backends import choose_device
from pipeline.config import EngineConfig
from pipeline.models import vram
from pipeline.models.folder import ModelFolder, open_folder
from pipeline.models.vram import gigabytes
from server.settings import Settings


def list_models() -> int:
    """Print what the loader understands."""
    print("embedded              " + _summary(open_folder(EngineConfig())))
    print(
        "PATH                  any diffusers-format folder (SD-Turbo, SD 1.5 or 2.1, "
        "InstructPix2Pix)\n"
        "                      with safetensors files: unet/, vae/, text_encoder/, tokenizer/, "
        "scheduler/\n"
        "  --autoencoder PATH  replaces its autoencoder, for example with TAESD: much faster\n"
        "  --lora FILE         adds a LoRA, for example LCM-LoRA: SD 1.5 in few steps\n"
        "A model of Stable Diffusion's size wants a GPU; the embedded one is made for the CPU."
    )
    return 0


def show_model(settings: Settings) -> int:
    """Print one model's parts, memory and styles. Raises ModelError when it cannot be loaded."""
    config = settings.engine()
    folder = open_folder(config)
    print(f"{config.model}: {_summary(folder)}")
    print(f"  where       {folder.path}")
    for part in folder.parts():
        size = part.weights.stat().st_size / 1e6
        print(f"  {part.name:<16}{part.class_name}, {size:.1f} MB")
    print(f"  memory      {memory_sentence(folder, config)}")
    print(f"  predicts    {folder.scheduler.get('prediction_type', 'epsilon')}")
    for preset in folder.presets:
        print(f"  {preset.name:<16}{preset.prompt!r}; also {', '.join(preset.examples)}")
    return 0


def memory_sentence(folder: ModelFolder, config: EngineConfig) -> str:
    """Say what an engine of this model would take, and how it is made up."""
    device = choose_device(config)
    memory = vram.estimate(folder, config, device)
    return (
        f"about {gigabytes(memory.engine)} on {device} at {config.width}x{config.height}: "
        f"weights {gigabytes(sum(memory.weights.values()))}, a call of {config.max_rows} rows "
        f"{gigabytes(memory.activations)}, each session up to {gigabytes(memory.session)}"
    )


def _summary(folder: ModelFolder) -> str:
    size = sum(path.stat().st_size for path in folder.files()) / 1e6
    styles = f", {len(folder.presets)} styles" if folder.presets else ""
    return f"{size:.0f} MB, {folder.latent_channels} latent channels{styles}: ready"
