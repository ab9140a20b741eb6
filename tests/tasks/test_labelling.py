"""Classes of texts and tokens: the published scores, the same in any company."""

import pytest
import torch
from encoder_folders import make_folder, open_tasks

from pellucid.errors import RequestError

TEXTS = ["the cat sat", "a dog ran far away from the mat", "it"]
NAMES = {0: "bad", 1: "good", 2: "so so"}


@pytest.mark.parametrize(
    ("problem", "scores"),
    [
        (None, lambda logits: logits.softmax(-1)),
        ("multi_label_classification", torch.sigmoid),
        ("regression", lambda logits: logits),
    ],
)
@torch.no_grad()
def test_scores_as_the_problem_type_says(problem, scores, tmp_path) -> None:
    published = make_folder(tmp_path, "BertForSequenceClassification", id2label=NAMES, problem_type=problem)
    for output in open_tasks(tmp_path).classify(TEXTS):
        expected = scores(published(input_ids=torch.tensor([output.prompt_token_ids])).logits[0])
        torch.testing.assert_close(torch.tensor(output.outputs.probs), expected, atol=1e-5, rtol=0)
        assert output.outputs.label == NAMES[int(expected.argmax())]
        assert output.outputs.labels == ("bad", "good", "so so")


@torch.no_grad()
def test_a_lone_output_is_a_probability_of_its_own(tmp_path) -> None:
    published = make_folder(tmp_path, "BertForSequenceClassification", num_labels=1)
    (output,) = open_tasks(tmp_path).classify("the cat")
    logits = published(input_ids=torch.tensor([output.prompt_token_ids])).logits[0]
    torch.testing.assert_close(torch.tensor(output.outputs.probs), logits.sigmoid(), atol=1e-5, rtol=0)


@torch.no_grad()
def test_every_token_has_a_class(tmp_path) -> None:
    published = make_folder(tmp_path, "BertForTokenClassification", id2label=NAMES)
    for output in open_tasks(tmp_path).classify(TEXTS):
        best = published(input_ids=torch.tensor([output.prompt_token_ids])).logits[0].softmax(-1).max(-1)
        assert [token.label for token in output.outputs] == [NAMES[i] for i in best.indices.tolist()]
        assert [token.score for token in output.outputs] == pytest.approx(best.values.tolist(), abs=1e-5)
        assert [token.text.strip() for token in output.outputs][1:-1] == output.prompt.split()


def test_a_head_for_something_else_is_refused(tmp_path) -> None:
    make_folder(tmp_path, "BertForMaskedLM")
    with pytest.raises(RequestError, match="fill_mask"):
        open_tasks(tmp_path).classify("the cat")
