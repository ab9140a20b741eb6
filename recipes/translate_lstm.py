"""The translator's baseline: an LSTM with attention, of equal size, on the same batches.

    python -m recipes.translate_lstm fra-eng.zip

What came before transformers: a bidirectional LSTM reads (Bahdanau et al. 2015), another writes, looking back
by general attention (Luong et al. 2015, section 3.1). The LSTM is torch's; one table serves both sides and
the head, as the Transformer's does. Run again, it goes on where it stopped; a finished run is only scored.

Letters: N sentences, S source tokens of the longest, T target tokens of the longest, D hidden, V vocabulary,
B beams.
"""

import argparse
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from pellucid.device import resolve_device
from pellucid.training import train
from pellucid.training.loss import cross_entropy
from pellucid.training.pairs import PairBatch
from recipes.recipe_arguments import recipe_parser
from recipes.translate_data import BOS, EOS, LONGEST, SPECIAL, Pair, prepare
from recipes.translate_exam import score, sentences
from recipes.translate_plan import add_settings, plan

WIDTH, DROPOUT = 360, 0.2
"""With this width it is as large as the Transformer of the recipe `translate`; it wants more dropout."""
State = tuple[Tensor, Tensor]


class AttentionLstm(nn.Module):
    """`encode` reads sentences, `decode` writes on from a state."""

    def __init__(self, vocab_size: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.embed_tokens = nn.Embedding(vocab_size, width)
        self.blocks = nn.ModuleDict(
            {
                "reads": nn.LSTM(
                    width, width // 2, layers, batch_first=True, bidirectional=True, dropout=dropout
                ),
                "writes": nn.LSTM(width, width, layers, batch_first=True, dropout=dropout),
                "asks": nn.Linear(width, width, bias=False),
                "joins": nn.Linear(2 * width, width, bias=False),
            }
        )

    def embed(self, ids: Tensor) -> Tensor:
        """Rows of the table, some entries dropped while training."""
        return F.dropout(self.embed_tokens(ids), self.dropout, self.training)

    def encode(self, source_NS: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """What each source token became `[N, S, D]`, and the state that writing begins with."""
        packed = pack_padded_sequence(self.embed(source_NS), lengths, True, enforce_sorted=False)
        out, (h, c) = self.blocks["reads"](packed)
        memory_NSD, _ = pad_packed_sequence(out, batch_first=True)
        # of each layer the last states of both directions, side by side
        h, c = (x.unflatten(0, (-1, 2)).transpose(1, 2).flatten(2).contiguous() for x in (h, c))
        return memory_NSD, (h, c)

    def decode(
        self, ids_NT: Tensor, state: State, memory_NSD: Tensor, lengths: Tensor
    ) -> tuple[Tensor, State]:
        """Logits `[N, T, V]`, and the state after them."""
        written_NTD, state = self.blocks["writes"](self.embed(ids_NT), state)
        scores_NTS = self.blocks["asks"](written_NTD) @ memory_NSD.transpose(1, 2)
        beyond_NS = torch.arange(memory_NSD.shape[1]) >= lengths[:, None]
        hidden_N1S = beyond_NS[:, None].to(scores_NTS.device)
        seen_NTD = scores_NTS.masked_fill(hidden_N1S, -torch.inf).softmax(-1) @ memory_NSD
        x_NTD = self.blocks["joins"](torch.cat((seen_NTD, written_NTD), -1)).tanh()
        return F.dropout(x_NTD, self.dropout, self.training) @ self.embed_tokens.weight.T, state


class TargetOfSource:
    """The Transformer's task and batches, padded for the LSTM."""

    def loss(self, model: nn.Module, batch: PairBatch, generator: torch.Generator | None) -> Tensor:
        assert isinstance(model, AttentionLstm)
        model.train(generator is not None)
        if generator is not None:
            torch.manual_seed(generator.initial_seed())  # nn.LSTM's dropout takes no generator of its own
        source_NS = pad_sequence(torch.split(batch.source_S, batch.source_lengths), True)
        ids_NT = pad_sequence(torch.split(batch.written.ids_T, batch.written.lengths), True)
        lengths = torch.tensor(batch.source_lengths)
        memory_NSD, state = model.encode(source_NS, lengths)
        logits_NTV, _ = model.decode(ids_NT, state, memory_NSD, lengths)
        real_NT = torch.arange(ids_NT.shape[1]) < torch.tensor(batch.written.lengths)[:, None]
        real_NT = real_NT.to(ids_NT.device)
        smoothing = 0.1 if generator else 0.0
        return cross_entropy(logits_NTV[real_NT], batch.written.targets_T, batch.written.weights_T, smoothing)


@torch.inference_mode()
def beam_search(model: AttentionLstm, source: list[int], beams: int = 4, longest: int = LONGEST) -> list[int]:
    """The likeliest target by the mean log-probability of its tokens, as the engine's beam search ranks."""
    bos, eos = SPECIAL.index(BOS), SPECIAL.index(EOS)
    model.eval()
    device = model.embed_tokens.weight.device
    length = torch.tensor([len(source)])  # packing wants lengths on the CPU
    memory_1SD, state = model.encode(torch.tensor([source], device=device), length)
    texts_BT, scores_B = torch.tensor([[bos]], device=device), torch.zeros(1, device=device)
    done: list[tuple[float, list[int]]] = []
    while texts_BT.shape[1] <= longest and len(done) < beams:
        B = len(texts_BT)
        logits_B1V, state = model.decode(texts_BT[:, -1:], state, memory_1SD.expand(B, -1, -1), length)
        totals_BV = scores_B[:, None] + logits_B1V[:, 0].log_softmax(-1)
        best = totals_BV.flatten().topk(min(2 * beams, totals_BV.numel()))
        rows, tokens = best.indices // totals_BV.shape[1], best.indices % totals_BV.shape[1]
        for place in (tokens[:beams] == eos).nonzero().flatten().tolist():
            text = texts_BT[rows[place], 1:].tolist()
            done.append((best.values[place].item() / (len(text) + 1), text))
        goes_on = (tokens != eos).nonzero().flatten()[:beams]
        rows, scores_B = rows[goes_on], best.values[goes_on]
        texts_BT = torch.cat((texts_BT[rows], tokens[goes_on, None]), 1)
        state = (state[0][:, rows].contiguous(), state[1][:, rows].contiguous())
    unended = zip(scores_B.tolist(), texts_BT[:, 1:].tolist(), strict=True)
    done += [(score / len(text), text) for score, text in unended]
    return max(done)[1]


def build(args: argparse.Namespace, vocab_size: int, width: int = WIDTH, layers: int = 2) -> AttentionLstm:
    """A model by the recipes' settings, with random weights."""
    torch.manual_seed(args.seed)
    model = AttentionLstm(vocab_size, width, layers, args.dropout)
    nn.init.normal_(model.embed_tokens.weight, std=width**-0.5)
    return model.to(resolve_device("auto"))


def translate(model: AttentionLstm, tokenizer: Tokenizer, pairs: list[Pair]) -> list[str]:
    """What the model makes of the English of each pair."""
    sources = (tokenizer.encode(pair.english).ids for pair in pairs)
    return [tokenizer.decode(beam_search(model, source)).strip() for source in sources]


def main() -> None:
    parser = recipe_parser(__doc__)
    add_settings(parser)
    parser.set_defaults(width=WIDTH, dropout=DROPOUT)
    parser.add_argument("--folder", type=Path, default=Path("runs/translate_lstm"))
    parser.add_argument(
        "--layers", type=int, default=2, help="of the one that reads and of the one that writes"
    )
    parser.add_argument("--first", type=int, help="examine only so many sentences")
    args = parser.parse_args()
    tokenizer, source, held_out = prepare(args.pairs, args.folder, args.vocab, args.tokens, args.seed)
    model = build(args, tokenizer.get_vocab_size(), args.width, args.layers)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {source.steps_in(0):,} steps an epoch")
    train(model, source, TargetOfSource(), plan(args), args.folder, held_out=held_out)
    pairs = sentences(args.pairs, first=args.first)
    begin = time.monotonic()
    written = translate(model, tokenizer, pairs)
    print(f"{len(pairs):,} sentences in {time.monotonic() - begin:.0f} s, for example {written[0]!r}")
    print(*score(written, pairs)[:2], sep="\n")


if __name__ == "__main__":
    main()
