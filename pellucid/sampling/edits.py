"""What changes logits before temperature: rules, allowed ids, bad words, minimum length, bias, penalties.

Only the entries concerned are touched: nothing here walks the vocabulary in Python. Letters: R rows,
V vocabulary, E entries (row, token) of the whole batch.
"""

import math
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.sampling.rules import obey
from pellucid.sampling.state import SamplingState


def repetition_penalty(logits_E: Tensor, penalty_E: Tensor) -> Tensor:
    """For what prompt or output hold: x / penalty if x > 0, else x · penalty (Keskar et al. 2019, "CTRL")."""
    return torch.where(logits_E > 0, logits_E / penalty_E, logits_E * penalty_E)


def frequency_penalty(logits_E: Tensor, penalty_E: Tensor, counts_E: Tensor) -> Tensor:
    """x - penalty · (times in the output), as OpenAI's API defines it."""
    return logits_E - penalty_E * counts_E


def presence_penalty(logits_E: Tensor, penalty_E: Tensor, counts_E: Tensor) -> Tensor:
    """x - penalty for every token in the output, as OpenAI's API defines it."""
    return logits_E - penalty_E * (counts_E > 0)


def edit(logits_RV: Tensor, states: Sequence[SamplingState]) -> Tensor:
    """The logits after every state's edits: a float32 copy, or themselves where nothing is to be changed."""
    edited = [(row, state) for row, state in enumerate(states) if state.edited]
    if not edited:
        return logits_RV
    logits_RV = logits_RV.to(torch.float32, copy=True)
    for row, state in edited:
        if state.rules:
            logits_V = obey(state.rules, state.prompt_token_ids, state.output_token_ids, logits_RV[row])
            logits_RV[row] = logits_V
    allow(logits_RV, edited)
    forbid(logits_RV, edited)
    add_bias(logits_RV, edited)
    penalise(logits_RV, [(row, state) for row, state in edited if state.penalised])
    return logits_RV


Rows = Sequence[tuple[int, SamplingState]]


def allow(logits_RV: Tensor, rows: Rows) -> None:
    """Every token but the allowed ones becomes impossible."""
    for row, state in rows:
        if state.params.allowed_token_ids is not None:
            allowed = torch.tensor(state.params.allowed_token_ids, device=logits_RV.device)
            kept = logits_RV[row, allowed]
            logits_RV[row] = -math.inf
            logits_RV[row, allowed] = kept


def forbid(logits_RV: Tensor, rows: Rows) -> None:
    """Impossible become what would complete a bad word, and what would end the output before `min_tokens`."""
    row_E, id_E = entries([(row, forbidden_ids(state)) for row, state in rows], logits_RV.device)
    logits_RV[row_E, id_E] = -math.inf


def forbidden_ids(state: SamplingState) -> list[int]:
    found = list(state.ending_ids) if state.must_go_on else []
    for *beginning, last in state.bad_word_ids:
        if not beginning or list(state.output_token_ids[-len(beginning) :]) == beginning:
            found.append(last)
    return found


def add_bias(logits_RV: Tensor, rows: Rows) -> None:
    """`logit_bias` is added to its tokens."""
    row_E, id_E = entries([(row, list(state.params.logit_bias)) for row, state in rows], logits_RV.device)
    bias = [value for _, state in rows for value in state.params.logit_bias.values()]
    logits_RV[row_E, id_E] += torch.tensor(bias, device=logits_RV.device)


def penalise(logits_RV: Tensor, rows: Rows) -> None:
    """The penalties, on the tokens that prompt and output hold."""
    if not rows:
        return
    counts = [state.counts() for _, state in rows]
    row_E, id_E = entries([(row, c.ids) for (row, _), c in zip(rows, counts, strict=True)], logits_RV.device)
    counts_E = flat([c.in_output for c in counts], logits_RV.device)
    sizes = torch.tensor([len(c.ids) for c in counts])

    def of_each_entry(values: list[float]) -> Tensor:
        return torch.tensor(values).repeat_interleave(sizes).to(logits_RV.device)

    logits_E = logits_RV[row_E, id_E]
    logits_E = repetition_penalty(logits_E, of_each_entry([s.params.repetition_penalty for _, s in rows]))
    logits_E = frequency_penalty(
        logits_E, of_each_entry([s.params.frequency_penalty for _, s in rows]), counts_E
    )
    logits_E = presence_penalty(
        logits_E, of_each_entry([s.params.presence_penalty for _, s in rows]), counts_E
    )
    logits_RV[row_E, id_E] = logits_E


def entries(rows: Sequence[tuple[int, Sequence[int]]], device: torch.device) -> tuple[Tensor, Tensor]:
    """The row and the token id of each entry."""
    sizes = torch.tensor([len(ids) for _, ids in rows])
    row_E = torch.tensor([row for row, _ in rows]).repeat_interleave(sizes)
    return row_E.to(device), flat([ids for _, ids in rows], device)


def flat(rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """The whole numbers of all rows, end to end."""
    ids = array("q")
    for row in rows:
        ids.extend(row)
    if not ids:
        return torch.empty(0, dtype=torch.int64, device=device)
    return torch.frombuffer(ids, dtype=torch.int64).to(device)
