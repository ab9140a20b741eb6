"""Fine-tunes any decoder that Pellucid opens, on texts or on prompts with answers: whole, or by LoRA.

    pellucid train finetune --model pellucid/guide --data pairs.jsonl --lora --rank 8 --alpha 16
    pellucid train finetune --model path/to/checkpoint --data my_texts/

A line of a .jsonl file is {"prompt": "...", "answer": "..."}, {"messages": [...]} or {"text": "..."}; any
other file, or a folder of .txt and .md files, is text to go on with. Prompts go through the model's chat
template where it has one, and only answers count. Run again, it goes on where it was stopped.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from pellucid.device import resolve_device
from pellucid.errors import SourceError
from pellucid.kernels import torch_ops
from pellucid.models.adapter_file import adaptable
from pellucid.models.checkpoint import Checkpoint, open_checkpoint
from pellucid.models.decoder import Decoder
from pellucid.models.loading import load_checkpoint
from pellucid.models.publishing import check_publishable, publish
from pellucid.models.quantise_folder import copy_beside
from pellucid.models.registry import FAMILIES
from pellucid.training import Batch, Documents, NextToken, TrainConfig, train
from pellucid.training.lora import LoRA, LoRAConfig
from recipes.finetune_data import encode, read_examples
from recipes.recipe_arguments import positive, recipe_parser

LORA_LR, WHOLE_LR = 1e-3, 5e-5
FEW = 40
"""Examples below which all are learned from."""
Example = tuple[np.ndarray, np.ndarray]


def documents(examples: list[Example], tokens: int, seed: int) -> Documents:
    """Examples as documents, packed up to so many tokens a step."""
    ids, weights = (np.concatenate(side) for side in zip(*examples, strict=True))
    starts = np.cumsum([0, *(len(one) for one, _ in examples)])
    return Documents(ids, weights, starts, tokens, seed)


def read_data(
    args: argparse.Namespace, checkpoint: Checkpoint, context: int
) -> tuple[Documents, int, list[Batch]]:
    """What to learn from, over how many steps, and every twentieth example to be measured on."""
    tokenizer = checkpoint.tokenizer()
    examples = encode(read_examples(args.data, tokenizer), tokenizer, context, tokenizer.eos_token_id)
    if not examples:
        raise SourceError(f"{args.data}: no answer lies within {context} tokens; give a larger --context")
    few = len(examples) < FEW
    if few and args.patience:
        raise SourceError(
            f"{args.data}: has {len(examples)} examples, and of fewer than {FEW} none is left to be measured "
            "on, so --patience would wait for ever; leave it out or give more"
        )
    held = [] if few else examples[::20]
    learned = examples if few else [one for i, one in enumerate(examples) if i % 20]
    size = sum(len(ids) for ids, _ in learned)
    print(f"{len(learned):,} examples of {size:,} tokens to learn from, {len(held)} to be measured on")
    steps = args.steps or max(1, args.epochs * size // args.tokens)
    return documents(learned, args.tokens, args.seed), steps, [Batch.of([one]) for one in held]


def open_decoder(source: str) -> tuple[Checkpoint, Decoder]:
    """The checkpoint and its body in float32, which is what training changes. Raises SourceError."""
    checkpoint = open_checkpoint(source)
    body = load_checkpoint(checkpoint, dtype="float32", device=resolve_device("auto"))
    if not isinstance(body, Decoder):
        raise SourceError(f"{source}: is a {body.config.model_type}; this recipe fine-tunes decoders")
    return checkpoint, body


def publish_beside(target: Path, checkpoint: Checkpoint, body: Decoder) -> None:
    """The changed model with the tokenizer and the settings of the one it came from, in its dtype."""
    target.mkdir(parents=True, exist_ok=True)
    copy_beside(checkpoint.source.path, target)
    dtype = getattr(torch, body.config.dtype or "float32")
    publish(target, body, checkpoint.family, checkpoint.published, dtype=dtype)
    print(f"The checkpoint is {target}")


def write_card(folder: Path, args: argparse.Namespace, steps: int, loss: float, how: str) -> None:
    """README.md: what was tuned, on what, for how long."""
    measured = f"\nLoss on every twentieth example: {loss:.4f} nats a token." if math.isfinite(loss) else ""
    (folder / "README.md").write_text(
        f"---\nbase_model: {args.model}\n---\n# {args.model}, fine-tuned\n\nBy Pellucid's recipe `finetune` "
        f"on {args.data.name}: {how}, {steps} steps of {args.tokens} tokens.{measured}\nIts licence is "
        "that of the base model, and of the data.\n"
    )


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("--model", required=True, help="a bundled name, a folder, a GGUF file or a hub id")
    parser.add_argument("--data", type=Path, required=True, help="a .jsonl or .json file, or texts")
    parser.add_argument("--folder", type=Path, default=Path("runs/finetune"))
    parser.add_argument("--epochs", type=positive, default=3)
    parser.add_argument("--steps", type=positive, help="in place of --epochs")
    parser.add_argument("--tokens", type=positive, default=2048, help="tokens a step")
    parser.add_argument("--parts", type=positive, help="parts a step is computed in, to save memory")
    parser.add_argument("--context", type=positive, default=512, help="the longest example, in tokens")
    parser.add_argument("--lr", type=float, help=f"default: {LORA_LR} with --lora, else {WHOLE_LR}")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--patience", type=positive, help="evaluations without a better one before it stops")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16, where that is faster")
    parser.add_argument("--lora", action="store_true", help="train an adapter and leave the model as it is")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16.0)
    parser.add_argument("--targets", nargs="+", default=[], help="q_proj v_proj ...; all by default")
    parser.add_argument("--merge", action="store_true", help="with --lora: also write the merged model")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.data.exists():
        raise SourceError(f"{args.data}: there is no such file or folder")
    checkpoint, body = open_decoder(args.model)
    changes_weights = args.merge or not args.lora
    if checkpoint.source.path.is_file() and changes_weights:
        raise SourceError(
            f"{args.model}: a GGUF file can be given an adapter (--lora, without --merge); to change the "
            "weights themselves, give the safetensors checkpoint"
        )
    target = args.folder / ("merged" if args.lora else "model")
    if target.resolve() == checkpoint.source.path.resolve():
        raise SourceError(f"{args.model}: would be overwritten by what comes of it; give another --folder")
    if changes_weights:
        check_publishable(body, checkpoint.family)
    context = min(args.context, body.config.max_position_embeddings)
    source, steps, held_out = read_data(args, checkpoint, context)
    plan = TrainConfig(
        steps=steps,
        lr=(LORA_LR if args.lora else WHOLE_LR) if args.lr is None else args.lr,
        weight_decay=0.0,
        parts=args.parts,
        patience=args.patience,
        autocast=torch.bfloat16 if args.bf16 else None,
        evaluate_every=max(1, steps // 10),
        save_every=max(1, min(100, steps // 4)),
        seed=args.seed,
    )
    task = NextToken(torch_ops, dropout=args.dropout)
    if not args.lora:
        at = train(body.requires_grad_(True), source, task, plan, args.folder, held_out=held_out)
        publish_beside(target, checkpoint, body)
        write_card(target, args, at.step, plan.loss_kept(at), "all weights trained")
        return
    settings = LoRAConfig(rank=args.rank, alpha=args.alpha, targets=tuple(args.targets))
    family = FAMILIES[checkpoint.family.model_type]  # adapters have its names, over a GGUF file too
    lora = LoRA(body, adaptable(checkpoint.empty_body(), family), settings, args.seed)
    print(f"{sum(p.numel() for p in lora.parameters() if p.requires_grad):,} parameters to train")
    at = train(lora, source, task, plan, args.folder, held_out=held_out)
    lora.save(args.folder / "adapter", str(args.model))
    how = f"LoRA of rank {args.rank}, alpha {args.alpha:g}"
    write_card(args.folder / "adapter", args, at.step, plan.loss_kept(at), how)
    print(f"The adapter is {args.folder / 'adapter'}")
    if args.merge:
        publish_beside(target, checkpoint, lora.merge())
        write_card(target, args, at.step, plan.loss_kept(at), f"{how}, merged")


if __name__ == "__main__":
    main()
