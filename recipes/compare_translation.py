"""The translator beside the attention-LSTM: the same batches, steps and rates, each with its own dropout."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from pellucid import LLM, translate
from pellucid.training import train
from recipes import translate as transformer
from recipes import translate_lstm as lstm
from recipes.compare_models import size
from recipes.compare_page import Finding
from recipes.translate_data import prepare
from recipes.translate_exam import score, sentences
from recipes.translate_plan import add_settings, plan

EXAMINED = 500
"""The file goes from short to long, so these are the shortest."""


def translation(text: Path | None, scale: float) -> Finding:
    """BLEU against steps."""
    assert text is not None, "this experiment reads the pairs"
    parser = argparse.ArgumentParser()
    add_settings(parser)
    ours_args, theirs_args = (
        parser.parse_args([str(text), "--tokens=20000", "--lr=5e-3", *more])
        for more in ([], [f"--dropout={lstm.DROPOUT}"])
    )
    pairs, rows = sentences(text, first=EXAMINED), []
    with TemporaryDirectory() as folder:
        tokenizer, source, _ = prepare(text, Path(folder), ours_args.vocab, ours_args.tokens, ours_args.seed)
        V = tokenizer.get_vocab_size()
        fields = transformer.shape(V, ours_args.width, encoder=3, decoder=2)
        for usual in (500, 1000):
            steps = max(2, int(usual * scale))
            for args in (ours_args, theirs_args):
                args.steps, args.decay = steps, steps // 4 + 1
            ours = transformer.build(ours_args, fields)
            train(
                ours,
                source,
                transformer.task(ours_args),
                plan(ours_args),
                Path(folder) / f"transformer-{steps}",
            )
            transformer.save_model(Path(folder) / "model", ours, fields, tokenizer)
            written = translate([pair.english for pair in pairs], LLM(str(Path(folder) / "model")))
            theirs = lstm.build(theirs_args, V)
            train(theirs, source, lstm.TargetOfSource(), plan(theirs_args), Path(folder) / f"lstm-{steps}")
            scores = score(written, pairs)[2], score(lstm.translate(theirs, tokenizer, pairs), pairs)[2]
            rows.append([steps, *(round(found, 1) for found in scores)])
    return Finding(
        "Transformers translate better than the recurrent networks they replaced.",
        f"English to French, pairs of Tatoeba, {size(ours):,} and {size(theirs):,} parameters, 20,000 "
        f"tokens a step; sacrebleu over the {len(pairs)} shortest sentences of the test share, 4 beams.",
        ["steps", "transformer, BLEU", "LSTM with attention, BLEU"],
        rows,
        rows[-1][1] > rows[-1][2],
        f"After {rows[-1][0]:,} steps {rows[-1][1]} against {rows[-1][2]}. In short sentences nothing is far "
        "away.",
        ("steps", "BLEU", "log"),
    )
