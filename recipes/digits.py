"""Trains the bundled model `pellucid/digits`: a small ViT on scikit-learn's 1,797 digits of 8 × 8 pixels.

    pellucid train digits
    pellucid train digits --mnist folder/with/t10k-files

The digits come with scikit-learn (`pip install 'pellucid[train]'`). MNIST's test set is only measured on:
t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz, https://github.com/cvdfoundation/mnist.
Three models of three seeds, a minute or two each on one CPU core; the first is published.
"""

import json
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from PIL import Image

from pellucid import LLM
from pellucid.device import resolve_device
from pellucid.kernels import torch_ops
from pellucid.models.publishing import publish
from pellucid.models.registry import read_config
from pellucid.models.vision import Vision
from pellucid.training import OneClass, TrainConfig, initialise, train
from recipes.digits_data import SIDE, Moved, digits, mnist
from recipes.recipe_arguments import positive, recipe_parser

CARD = """---
license: apache-2.0
---
# pellucid/digits

A very small ViT ({parameters:,} parameters: 4 layers, 4 heads, width 64, patches of 2 × 2) that tells
handwritten digits in grey pictures of 8 × 8 pixels: white on black, as large as the picture. `pellucid
classify picture.png -m pellucid/digits` scales any picture to that size.

**Scores.** {score} of {count} digits that it never saw (`train_test_split(test_size=0.2, stratify=y,
random_state=0)`); mean of {seeds} models that differ in the seed alone: {mean}.
{outside}

- **Data**: the 1,797 digits of scikit-learn, four fifths to learn from: "Optical Recognition of
  Handwritten Digits" by E. Alpaydin and C. Kaynak (UCI Machine Learning Repository, CC BY 4.0), each
  turned, sized, slanted and moved a little, another way at every step.
- **Training**: `pellucid train digits`: {steps:,} steps of 128 pictures from random weights (AdamW,
  cosine from 2e-3, label smoothing, weights averaged), about a minute on one CPU core. Settings
  were chosen on a fifth of the training part.
- **What it cannot do**: it knows ten digits and calls everything one of them. Black ink on white paper,
  several digits, a digit that does not fill its picture, or another hand's way of writing it tells
  badly or not at all.
"""
FIELDS = {
    "architectures": ["ViTForImageClassification"],
    "model_type": "vit",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "image_size": SIDE,
    "patch_size": 2,
    "num_channels": 1,
    "qkv_bias": True,
    "id2label": {str(digit): str(digit) for digit in range(10)},
    "label2id": {str(digit): digit for digit in range(10)},
}
PICTURES = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "resample": Image.Resampling.BILINEAR.value,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5],
    "image_std": [0.5],
}


def accuracy(llm: LLM, pictures: np.ndarray, labels: np.ndarray) -> float:
    """The share of pictures that `classify` tells right, through the published preprocessing."""
    said = llm.classify([Image.fromarray(picture) for picture in pictures])
    return mean(output.outputs.label == str(label) for output, label in zip(said, labels, strict=True))


def train_one(pictures: np.ndarray, labels: np.ndarray, plan: TrainConfig, folder: Path) -> Path:
    """One model of one seed; its folder."""
    family, config = read_config(FIELDS)
    model = family.build(config)
    assert isinstance(model, Vision)
    initialise(model, seed=plan.seed, std=0.1)
    model.to(resolve_device("auto"))
    pixels_NCYX = torch.from_numpy(pictures.astype(np.float32)).unsqueeze(1) / 127.5 - 1
    source = Moved(pixels_NCYX, torch.from_numpy(labels), 128, config.input.num_tokens, plan.seed)
    train(model, source, OneClass(torch_ops, label_smoothing=0.05), plan, folder)
    publish(folder / "model", model, family, FIELDS)
    (folder / "model" / "preprocessor_config.json").write_text(json.dumps(PICTURES, indent=2) + "\n")
    return folder / "model"


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/digits"))
    parser.add_argument("--steps", type=positive, default=800)
    parser.add_argument("--seeds", type=positive, default=3, help="how many models, of seeds 0, 1, ...")
    parser.add_argument("--mnist", type=Path, help="the folder of MNIST's two t10k files, to measure on")
    parser.add_argument("--choose", action="store_true", help="measure on a fifth of the training part")
    args = parser.parse_args()
    (pictures, labels), (rest, rest_labels) = digits(args.choose)
    right, outside = [], []
    for seed in range(args.seeds):
        plan = TrainConfig(steps=args.steps, lr=2e-3, weight_decay=0.1, average=0.995, seed=seed)
        llm = LLM(train_one(pictures, labels, plan, args.folder / f"seed-{seed}"))
        right.append(accuracy(llm, rest, rest_labels))
        print(f"seed {seed}: {right[-1]:.2%} of {len(rest)} digits it never saw")
        if args.mnist:
            outside.append(accuracy(llm, *mnist(args.mnist)))
            print(f"seed {seed}: {outside[-1]:.2%} of MNIST's test digits scaled to {SIDE} × {SIDE}")
    print(f"mean of {args.seeds}: {mean(right):.2%}" + (f", MNIST {mean(outside):.2%}" if outside else ""))
    target = args.folder / "seed-0" / "model"
    card = CARD.format(
        parameters=sum(p.numel() for p in llm.model.parameters()),
        score=f"{right[0]:.2%}",
        count=len(rest),
        seeds=args.seeds,
        mean=f"{mean(right):.2%}",
        outside=f"MNIST's 10,000 test digits, scaled to {SIDE} × {SIDE} and nothing else: {outside[0]:.2%}."
        if outside
        else "",
        steps=args.steps,
    )
    (target / "README.md").write_text(card)
    print(f"The checkpoint is {target}")


if __name__ == "__main__":
    main()
