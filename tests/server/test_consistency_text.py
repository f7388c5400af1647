"""`restyle consistency` with a CLIP model: a tiny one of random weights, as no test fetches any."""

import json
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from pipeline.errors import ConfigError, ModelError
from pipeline.text_agreement import load_text_agreement
from server.consistency import LEAST_AGREEMENT, agreement, consistency
from tests.pipeline.conftest import make_tokenizer
from tests.server.test_consistency_command import film, measured, moving

TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("clip"), make_tokenizer()
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={
            **TINY, "num_attention_heads": 2, "vocab_size": len(tokenizer),
            "max_position_embeddings": 16, "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={**TINY, "num_attention_heads": 2, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_pictures_and_texts_are_compared_as_the_model_does_itself(clip: Path) -> None:
    picture = moving(1)[0][:96]  # the middle is seen
    found = {text: load_text_agreement(clip, text).of(picture) for text in ("ink", "oil")}

    assert found["ink"] != found["oil"]
    model, tokenizer = CLIPModel.from_pretrained(clip), make_tokenizer()
    pixels = torch.from_numpy(picture[:, 16:112].copy()).permute(2, 0, 1)[None] / 255
    small = torch.nn.functional.interpolate(pixels, (32, 32), mode="area")
    mean, deviation = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    normed = (small - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)
    with torch.no_grad():
        output = model(**tokenizer("ink", return_tensors="pt"), pixel_values=normed)
        cosine = float(output.logits_per_image / model.logit_scale.exp())
    assert found["ink"] == pytest.approx(100 * cosine, abs=0.05)
    assert -100 <= found["ink"] <= 100


def test_a_film_beside_itself_says_as_much_of_the_prompt(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = film(tmp_path / "clip.mp4", moving(3))

    found = measured(capsys, one, one, "--baseline", one, "--clip", str(clip), "--prompt", "ink")

    assert isinstance(found["text_agreement"], float)
    assert found["text_agreement_over_baseline"] == 0
    assert found["flags"] == []
    assert found["frames_alike"] == found["frames_alike_input"] == found["frames_alike_baseline"]
    assert 0 < found["frames_alike_input"] < 100  # type: ignore[operator]  # it moves
    alone = measured(capsys, one, one, "--clip", str(clip), "--prompt", "ink")
    assert alone["text_agreement"] == found["text_agreement"]
    assert "text_agreement_over_baseline" not in alone


def test_a_frozen_film_is_alike_and_one_that_changes_is_less(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = moving(7)
    films = {
        "in": pictures, "frozen": pictures[:1] * 7,
        "popping": [p if n % 2 else 255 - p for n, p in enumerate(pictures)],
    }  # fmt: skip
    source, *others = (film(tmp_path / f"{name}.mp4", shown) for name, shown in films.items())

    frozen, popping = (
        measured(capsys, source, other, "--clip", str(clip), "--prompt", "ink") for other in others
    )

    # a codec may change the last bit of a colour
    assert frozen["frames_alike"] == pytest.approx(100, abs=0.01)
    assert popping["frames_alike"] < popping["frames_alike_input"]  # type: ignore[operator]


def test_a_film_that_says_less_of_the_prompt_is_flagged_and_others_are_not() -> None:
    less = agreement({"result": 24.0, "baseline": 25.0}, ["softer"])

    assert less["flags"] == [
        "softer", f"says less of the prompt than the baseline: -1.0 points, under {LEAST_AGREEMENT}"
    ]  # fmt: skip
    assert agreement({"result": 24.6, "baseline": 25.0}, [])["flags"] == []


def test_a_model_without_a_prompt_and_a_folder_without_a_model_are_refused(tmp_path: Path) -> None:
    nowhere = tmp_path / "film.mp4"  # said before it is opened

    with pytest.raises(ConfigError, match="--clip and --prompt together"):
        consistency(nowhere, nowhere, True, None, None, clip=tmp_path)
    with pytest.raises(ModelError, match=r"no config\.json"):
        consistency(nowhere, nowhere, True, None, None, clip=tmp_path, prompt="ink")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ModelError, match="clip "):
        load_text_agreement(tmp_path, "ink")
