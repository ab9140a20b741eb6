"""Which requests an engine can ever serve; the others are refused at once, with the reason."""

from pellucid.engine.request import Request
from pellucid.errors import RequestError
from pellucid.sampling.params import SamplingParams


def check_request(request: Request, max_model_len: int, max_num_seqs: int, vocab_size: int) -> None:
    """Raises RequestError for a request that does not fit this model and this engine."""
    ids, params = request.prompt_token_ids, request.params
    if not len(ids):
        raise RequestError("the prompt has no tokens: give at least one")
    if len(ids) >= max_model_len:
        raise RequestError(
            f"the prompt has {len(ids)} tokens, but prompt and output together can have {max_model_len}: "
            "shorten it, or raise max_model_len if the model and the memory allow"
        )
    if outside := [i for i in ids if not 0 <= i < vocab_size]:
        raise RequestError(f"the prompt holds token id {outside[0]}; the model has 0 to {vocab_size - 1}")
    assert isinstance(params, SamplingParams)
    params.check_vocabulary(vocab_size)
    if params.n > max_num_seqs:
        raise RequestError(
            f"n={params.n} samples at once, but max_num_seqs={max_num_seqs}: lower n or raise max_num_seqs"
        )
