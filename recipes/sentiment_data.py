"""The sentences that `sentiment` learns from: as word pieces, as batches, and what company their words keep.

Letters: N sentences, V words or labels, D hidden.
"""

import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from pellucid.errors import SourceError
from pellucid.training import Labelled

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))
CONTEXT = 256


def sentences_of(file: Path, names: tuple[str, ...]) -> list[list[str]]:
    """The lines of each of these members of an archive. Raises SourceError if it is another archive."""
    if not zipfile.is_zipfile(file):
        raise SourceError(f"{file}: is no zip archive; `pellucid train sentiment -h` says where to get it")
    with zipfile.ZipFile(file) as archive:
        members = {name.rpartition("/")[2]: name for name in archive.namelist()}
        if missing := [name for name in names if name not in members]:
            raise SourceError(
                f"{file}: holds no {missing[0]}; `pellucid train sentiment -h` says where to get it"
            )
        texts = [archive.read(members[name]).decode("latin-1") for name in names]
    return [[line.strip() for line in text.split("\n") if line.strip()] for text in texts]


def read_polarity(file: Path) -> tuple[list[str], np.ndarray]:
    """All sentences and their labels, 0 for blame."""
    negative, positive = sentences_of(file, ("rt-polarity.neg", "rt-polarity.pos"))
    return negative + positive, np.array([0] * len(negative) + [1] * len(positive))


def word_pieces(texts: list[str], size: int) -> Tokenizer:
    """A lower-cased WordPiece vocabulary (Wu et al. 2016), as BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=SPECIAL, min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [("[CLS]", CLS), ("[SEP]", SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[np.ndarray]:
    """Each text's ids, cut to the model's length."""
    return [np.array(e.ids[:CONTEXT], np.int64) for e in tokenizer.encode_batch_fast(texts)]


class Sentences:
    """Batches of sentences of about one length, drawn anew each epoch, each word hidden now and then."""

    def __init__(
        self, ids: list[np.ndarray], labels_NV: np.ndarray, per_step: int, hide: float, seed: int
    ) -> None:
        self.ids, self.labels_NV = ids, labels_NV.astype(np.float32)
        self.per_step, self.hide, self.seed = per_step, hide, seed
        self.steps_per_epoch = len(ids) // per_step
        self._lengths = np.array([len(one) for one in ids])
        self._plan = lru_cache(maxsize=2)(self._planned)

    def parts(self, step: int, count: int) -> list[Labelled]:
        epoch, place = divmod(step, self.steps_per_epoch)
        chosen = self._plan(epoch)[place]
        rng = np.random.default_rng((self.seed, epoch, place))
        hidden = [np.where(rng.random(len(self.ids[i])) < self.hide, MASK, self.ids[i]) for i in chosen]
        return [packed(hidden[part::count], self.labels_NV[chosen[part::count]]) for part in range(count)]

    def _planned(self, epoch: int) -> np.ndarray:
        """Which sentences each step has: those of a pool of 16 batches, in the order of their lengths, since
        attention takes sentences of one length together."""
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.ids))[: self.steps_per_epoch * self.per_step]
        pools = np.split(order, range(16 * self.per_step, len(order), 16 * self.per_step))
        ordered = np.concatenate([pool[self._lengths[pool].argsort(kind="stable")] for pool in pools])
        return rng.permutation(ordered.reshape(-1, self.per_step))


def packed(ids: list[np.ndarray], labels: np.ndarray) -> Labelled:
    """A batch of sentences, end to end."""
    return Labelled(
        torch.from_numpy(np.concatenate(ids)), torch.from_numpy(labels), tuple(len(one) for one in ids)
    )


def neighbours(ids: list[np.ndarray], size: int, width: int, reach: int = 4) -> np.ndarray:
    """A vector a word from the words it stands near: the first singular vectors of the positive pointwise
    mutual information (Levy & Goldberg 2014), `[V, D]`."""
    from scipy.sparse import coo_matrix
    from sklearn.decomposition import TruncatedSVD

    text = np.concatenate([np.concatenate([one[1:-1], np.full(reach, PAD)]) for one in ids])
    pairs = [(text[:-away], text[away:]) for away in range(1, reach + 1)]
    left, right = (np.concatenate(side) for side in zip(*pairs, strict=True))
    real = (left != PAD) & (right != PAD)
    left, right = left[real], right[real]
    ones = np.ones(2 * len(left), np.float32)
    counts = coo_matrix((ones, (np.r_[left, right], np.r_[right, left])), (size, size)).tocsr()
    often = np.asarray(counts.sum(1)).ravel() + 1.0
    found = counts.tocoo()
    share = often**0.75 / (often**0.75).sum()
    found.data = np.maximum(0, np.log(found.data / (often[found.row] * share[found.col])))
    svd = TruncatedSVD(min(width, size - 1), random_state=0)
    vectors_VD = svd.fit_transform(found.tocsr()) / np.sqrt(svd.singular_values_ + 1e-9)
    vectors_VD = np.pad(vectors_VD, ((0, 0), (0, width - vectors_VD.shape[1])))
    return vectors_VD / vectors_VD.std()
