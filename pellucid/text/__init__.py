"""From text to token ids and back: tokenizers, chat templates, incremental detokenising."""

from pellucid.text.chat import ChatTemplate
from pellucid.text.detokenizer import Detokenizer
from pellucid.text.gguf_metadata import tokenizer_from_gguf
from pellucid.text.loading import load_tokenizer
from pellucid.text.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Detokenizer", "Tokenizer", "load_tokenizer", "tokenizer_from_gguf"]
