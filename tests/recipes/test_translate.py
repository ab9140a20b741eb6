"""The translation recipes: the examination's split, the vocabulary, and runs that end in a model to ask."""

import hashlib
import itertools
import random
import zipfile

import pytest
import torch

from pellucid import LLM, translate
from pellucid.cli import recipes
from pellucid.errors import SourceError
from pellucid.training.pairs import PairBatch
from recipes import translate_data, translate_lstm
from recipes.translate_data import BOS, EOS, FURTHER, SPECIAL, Pair

WORDS = {
    "I": "je",
    "see": "vois",
    "the": "l'",
    "a": "un",
    "cat": "chat",
    "tree": "arbre",
    "man": "homme",
    "!": " !",
}


@pytest.fixture(scope="module")
def lines():
    rng = random.Random(0)
    texts = [rng.choices(list(WORDS), k=rng.randrange(2, 8)) for _ in range(600)]
    pairs = [(" ".join(text), " ".join(WORDS[word] for word in text)) for text in texts]
    return [*pairs, (pairs[0][0], "autre chose"), (pairs[0][0].upper(), "en capitales")]


@pytest.fixture(scope="module")
def file(lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "fra-eng.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_about.txt", "about")
        archive.writestr("fra.txt", "".join(f"{english}\t{french}\n" for english, french in lines))
    return path


def test_pairs_are_read_from_the_archive_or_the_file_in_it(lines, file, tmp_path):
    (tmp_path / "fra.txt").write_text("".join(f"{a}\t{b}\tCC-BY 2.0 by somebody\n" for a, b in lines))
    pairs = translate_data.read_pairs(file)
    assert pairs == translate_data.read_pairs(tmp_path / "fra.txt")
    assert [(pair.english, pair.french) for pair in pairs] == lines
    assert pairs[0].first and pairs[-2] == Pair(lines[0][0], "autre chose", False) and pairs[-1].first


def test_the_split_is_by_the_lower_cased_source(file):
    pairs = translate_data.read_pairs(file)
    shares = translate_data.split(pairs)
    assert sorted(map(str, pairs)) == sorted(str(pair) for share in shares for pair in share)
    for share, wanted in zip(shares, (set(range(2, 50)), {1}, {0}), strict=True):
        sources = [pair.english.lower().encode() for pair in share]
        assert {int(hashlib.sha1(source).hexdigest(), 16) % 50 for source in sources} <= wanted
        assert len(sources) > 3


def test_what_is_no_file_of_pairs_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("Hello.\n")
    for path in (tmp_path / "a.txt", tmp_path / "none.zip"):
        with pytest.raises(SourceError, match="manythings"):
            translate_data.read_pairs(path)


def test_the_vocabulary_writes_what_it_read(lines):
    tokenizer = translate_data.byte_pairs([text for pair in lines for text in pair], 400)
    for text in ("I see a tree !", "l'homme", "東京 1999, <0x41> \N{GRINNING FACE}", "Aujourd'hui"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.encode("a").ids[-1] == SPECIAL.index(EOS)
    assert tokenizer.encode("the\u202f cat\n").ids == tokenizer.encode(" the cat").ids
    assert tokenizer.encode("l\u2019homme").ids == tokenizer.encode("l'homme").ids


def test_further_translations_are_drawn_less_often(lines):
    tokenizer = translate_data.byte_pairs([text for pair in lines for text in pair], 400)
    pairs = [Pair("the cat", "l' chat", True), Pair("the cat", "un chat", False)]
    found = translate_data.encode(tokenizer, pairs, 100, 0)
    assert found.shares.tolist() == [1.0, FURTHER]
    assert found.sources[0][-1] == found.targets[0][-1] == SPECIAL.index(EOS)
    assert found.targets[0][0] == SPECIAL.index(BOS)


def test_the_greetings_are_pairs_and_have_nothing_of_the_examination(file, tmp_path):
    greetings = translate_data.read_pairs(translate_data.GREETINGS)
    assert all(pair.first and pair.english and pair.french for pair in greetings)
    assert not any("world" in pair.english.lower() for pair in greetings)
    kept = {pair.english for pair in translate_data.split(greetings)[0]}
    tokenizer, source, _ = translate_data.prepare(file, tmp_path, 320, 400, 0)
    # from the other shares' greetings nothing is trained on
    texts = {tokenizer.decode(source.sources[i]) for i in range(len(source.sources))}
    assert kept <= texts
    assert not {pair.english for pair in greetings} - kept & texts


def test_the_recipe_ends_in_a_translator(file, tmp_path, capsys):
    small = ["--width", "64", "--encoder", "1", "--decoder", "1", "--vocab", "320"]
    plan = ["--steps", "8", "--decay", "4", "--tokens", "400"]
    recipes.run_recipe("translate", [str(file), "--folder", str(tmp_path), *small, *plan])
    assert "Hello world:" in capsys.readouterr().out
    assert "CC BY 2.0" in (tmp_path / "model" / "README.md").read_text()
    llm = LLM(tmp_path / "model")
    one, two = translate(["I see the cat", "a man !"], llm, source="en", target="fr")
    assert isinstance(one, str) and one == translate("I see the cat", llm) and isinstance(two, str)


def test_the_comparison_trains_and_asks_both(lines, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(translate_data, "GREETED", 1)
    shares = translate_data.split([Pair(english, french, True) for english, french in lines])
    pairs = [pair for share, count in zip(shares, (30, 2, 2), strict=True) for pair in share[:count]]
    file = tmp_path / "fra.txt"
    file.write_text("".join(f"{pair.english}\t{pair.french}\n" for pair in pairs))
    recipes.run_recipe(
        "compare", ["translation", "--text", str(file), "--scale", "0.002", "--docs", str(tmp_path)]
    )
    assert "| steps | transformer, BLEU | LSTM with attention, BLEU |" in capsys.readouterr().out
    assert (tmp_path / "why_transformers" / "translation.png").exists()


def small_lstm():
    torch.manual_seed(0)
    return translate_lstm.AttentionLstm(20, width=8, layers=2, dropout=0.0)


def test_the_lstm_reads_many_as_each_alone():
    model, task = small_lstm(), translate_lstm.TargetOfSource()
    pairs = [([5, 6, 7, 0], [1, 8, 5, 0]), ([9, 0], [1, 7, 7, 3, 0]), ([9, 4, 4, 4, 3, 0], [1, 0])]
    batches = [PairBatch.of([(torch.tensor(a).numpy(), torch.tensor(b).numpy())]) for a, b in pairs]
    whole = PairBatch.of([(torch.tensor(a).numpy(), torch.tensor(b).numpy()) for a, b in pairs])
    alone = sum(task.loss(model, batch, None).item() for batch in batches)
    assert task.loss(model, whole, None).item() == pytest.approx(alone, rel=1e-5)


def test_beams_enough_for_every_text_find_the_best_of_all():
    torch.manual_seed(1)
    model, source = translate_lstm.AttentionLstm(5, width=8, layers=2, dropout=0.0).eval(), [3, 4, 2, 0]
    torch.nn.init.normal_(model.embed_tokens.weight, std=2.0)
    memory, state = model.encode(torch.tensor([source]), torch.tensor([4]))

    def score(ids):
        read = torch.tensor([[1, *ids[:-1]]])
        logits, _ = model.decode(read, state, memory, torch.tensor([4]))
        return logits[0].log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).mean().item()

    ended = [[*text, 0] for n in range(3) for text in itertools.product(range(1, 5), repeat=n)]
    unended = [list(text) for text in itertools.product(range(1, 5), repeat=3)]
    best = max(ended + unended, key=score)
    found = translate_lstm.beam_search(model, source, beams=100, longest=3)
    assert found == [token for token in best if token]
    assert translate_lstm.beam_search(model, source, beams=1, longest=3) in [
        [token for token in text if token] for text in ended + unended
    ]
