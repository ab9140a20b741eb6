"""What all cores write is what one would have written, shard by shard, and encoded piece by piece."""

import numpy as np
import pytest
from guide_models import PATH, guide_tokenizer

from recipes import guide_writing
from recipes.guide_writing import CONTEXT, documents, encode, joined, write_shard


@pytest.fixture(scope="module")
def tokenizer():
    return guide_tokenizer()


def test_shards_joined_are_all_their_documents_encoded_together(tokenizer, monkeypatch):
    monkeypatch.setattr(guide_writing, "SHARD", 20)
    everyday = ["Where is the station?"]
    together = encode(
        tokenizer, [text for shard in range(3) for text in documents(20, f"7 {shard}", everyday)]
    )
    shards = joined(write_shard(PATH, 7, everyday, shard) for shard in range(3))
    for one, other in zip(shards, together, strict=True):
        assert np.array_equal(one, other)


def test_a_document_is_its_pieces_and_their_weights(tokenizer):
    texts = [[("What is AI?", 0.5), (" A field.", 1.0)], [("Yes. " * CONTEXT, 0.0)], [("No.", 1.0)]]
    ids, weights, starts = encode(tokenizer, texts)
    first, second = slice(starts[0], starts[1]), slice(starts[1], starts[2])
    assert tokenizer.decode(ids[first].tolist()) == "What is AI? A field."
    assert tokenizer.decode(ids[first][weights[first] == 1.0].tolist()) == " A field."
    assert len(ids[second]) == CONTEXT and not weights[second].any()
    assert tokenizer.decode(ids[starts[2] :].tolist()) == "No." and starts[3] == len(ids) == len(weights)
