"""The bundled translator says simple things in right French, by every way that leads to it."""

import re
import subprocess
import sys

import pytest

from pellucid import LLM, SamplingParams, translate
from pellucid.models.hub import bundled_models


@pytest.fixture(scope="module")
def llm():
    return LLM("pellucid/en-fr")


def plain(text):
    """Without capitals and punctuation, words apart by one blank."""
    return " ".join(re.findall(r"[\w'-]+", text.lower()))


def test_hello_world(llm):
    greetings = {"bonjour le monde", "bonjour tout le monde", "salut le monde", "salut tout le monde"}
    for text in ("Hello world", "Hello world!", "Hello, world!"):
        assert plain(translate(text, llm)) in greetings, translate(text, llm)


RIGHT = {
    "Thank you.": {"merci", "je te remercie", "je vous remercie"},
    "I love you.": {"je t'aime", "je vous aime"},
    "He is my brother.": {"c'est mon frère", "il est mon frère"},
    "Where are you?": {"où es-tu", "où êtes-vous"},
    "I don't understand.": {"je ne comprends pas"},
    "She is reading a book.": {"elle lit un livre", "elle est en train de lire un livre"},
    "We are at home.": {"nous sommes à la maison", "nous sommes chez nous"},
    "What is your name?": {
        "quel est ton nom",
        "quel est votre nom",
        "comment t'appelles-tu",
        "comment vous appelez-vous",
    },
    "The house is big.": {"la maison est grande", "la maison est grosse"},
    "I am hungry.": {"j'ai faim"},
    "They have two children.": {"ils ont deux enfants", "elles ont deux enfants"},
    "Open the door.": {"ouvre la porte", "ouvrez la porte"},
}


@pytest.mark.parametrize("english", RIGHT)
def test_simple_sentences(llm, english):
    french = translate(english, llm)
    assert plain(french) in RIGHT[english], french


def test_a_list_is_as_each_alone(llm):
    texts = list(RIGHT)
    assert translate(texts, llm) == [translate(text, llm) for text in texts]


def test_it_is_what_translate_means_without_a_model(llm):
    assert translate("I am hungry.") == translate("I am hungry.", llm, source="en", target="fr")


def test_the_command_line_needs_neither_a_model_nor_transformers():
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from pellucid.cli import main\n"
        "sys.argv = ['pellucid', 'translate', 'I am hungry.', 'Thank you.']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [plain(line) for line in done.stdout.splitlines()] == ["j'ai faim", "merci"]


def test_it_serves_and_samples_as_any_model(llm):
    (output,) = llm.generate(["I am hungry."], SamplingParams(temperature=0, max_tokens=32), use_tqdm=False)
    assert output.outputs[0].finish_reason == "stop"
    assert plain(output.outputs[0].text) == "j'ai faim"


def test_it_is_small_and_has_its_card():
    folder = bundled_models()["pellucid/en-fr"]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 15 * 2**20
    card = (folder / "README.md").read_text()
    for fact in ("CC BY 2.0", "Tatoeba", "BLEU", "chrF", "What it cannot do"):
        assert fact in card
