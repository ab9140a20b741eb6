"""Masked words: the published probabilities, and each word in its place in the text."""

import pytest
import torch
from encoder_folders import SPECIAL, WORDS, make_folder, open_tasks

from pellucid.errors import RequestError


@torch.no_grad()
def test_the_likeliest_words_for_each_mask(tmp_path) -> None:
    published = make_folder(tmp_path, "BertForMaskedLM")
    first, second = open_tasks(tmp_path).mask_filler.fill("the [MASK] sat on the [MASK]", top_k=3)
    ids = torch.tensor([[2, 5, 4, 7, 8, 5, 4, 3]])
    for mask, position in ((first, 2), (second, 6)):
        assert mask.position == position
        best = published(input_ids=ids).logits[0, position].softmax(-1).topk(3)
        assert [word.token_id for word in mask.words] == best.indices.tolist()
        assert [word.probability for word in mask.words] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_the_text_is_given_with_the_word_in_place(tmp_path) -> None:
    make_folder(tmp_path, "BertForMaskedLM")
    (mask,) = open_tasks(tmp_path).mask_filler.fill("the [MASK] sat", top_k=2)
    vocabulary = SPECIAL + WORDS
    for word in mask.words:
        assert word.token == vocabulary[word.token_id]
        if word.token not in SPECIAL:
            assert word.text == f"the {word.token} sat"


def test_a_text_without_a_mask_is_refused(tmp_path) -> None:
    make_folder(tmp_path, "BertForMaskedLM")
    with pytest.raises(RequestError, match=r"\[MASK\]"):
        open_tasks(tmp_path).mask_filler.fill("the cat sat")


def test_a_model_without_the_head_is_refused(tmp_path) -> None:
    make_folder(tmp_path, "BertModel")
    with pytest.raises(RequestError, match="ForMaskedLM"):
        open_tasks(tmp_path).mask_filler.fill("the [MASK] sat")
