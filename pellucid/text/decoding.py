"""From tokens to text one token at a time: each step of a published decoder as a stream.

A tokenizer.json names its decoder as a chain of steps ("▁ becomes a space", "<0xE2> is a byte", ...), defined
over the entire list of tokens. Here each step is a small state machine that takes one token and gives the
text that no later token can change, so a chain of them decodes in constant time a token and ends in exactly
the published text (`tokenizers.Tokenizer.decode`). Whole decoding runs the same machines.
"""

import codecs
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tokenizers import Regex, decoders

from pellucid.text.byte_tokens import byte_of, bytes_of


class Step(Protocol):
    """One step of a decoder: tokens (or pieces of text) in, pieces out as soon as they are certain."""

    def feed(self, piece: str) -> Sequence[str]:
        """The pieces that are certain now that this one has come."""
        ...

    def finish(self) -> Sequence[str]:
        """What was held back, now that nothing follows."""
        ...


class PerToken:
    """Rewrites every token by itself, the first perhaps differently."""

    def __init__(self, rewrite: Callable[[str], str], first: Callable[[str], str] | None = None) -> None:
        self._rest = rewrite
        self._next = first or rewrite

    def feed(self, piece: str) -> Sequence[str]:
        rewrite, self._next = self._next, self._rest
        return (rewrite(piece),)

    def finish(self) -> Sequence[str]:
        return ()


class ByteRuns:
    """Byte fallback: a run of tokens such as `<0xE2>` is text if the entire run is UTF-8, else one � a byte.

    The verdict is over the run, so a run is held until it ends or is known to be broken.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._run = bytearray()
        self._check = codecs.getincrementaldecoder("utf-8")("strict")
        self._broken = False

    def feed(self, piece: str) -> Sequence[str]:
        byte = byte_of(piece)
        if byte is None:
            return (*self.finish(), piece)
        if self._broken:
            return ("\ufffd",)
        self._run.append(byte)
        try:
            self._check.decode(bytes((byte,)))
        except UnicodeDecodeError:
            self._broken = True
            return ("\ufffd",) * len(self._run)
        return ()

    def finish(self) -> Sequence[str]:
        if not self._run:
            return ()
        run, broken = bytes(self._run), self._broken
        self._start()
        if broken:
            return ()
        try:
            return (run.decode("utf-8"),)
        except UnicodeDecodeError:  # ends inside a character
            return ("\ufffd",) * len(run)


class Utf8Bytes:
    """Byte-level BPE: every token stands for bytes; characters appear when their last byte has come.

    Broken sequences become � as the Unicode standard advises (one for each maximal subpart, section 3.9).
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: str) -> Sequence[str]:
        return (self._decoder.decode(bytes_of(piece)),)

    def finish(self) -> Sequence[str]:
        return (self._decoder.decode(b"", True),)


class Suffixed:
    """BPE with an end-of-word suffix: the suffix is a space, except on the last token."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._held: str | None = None

    def feed(self, piece: str) -> Sequence[str]:
        ready = self._held
        self._held = piece
        return () if ready is None else (ready.replace(self._suffix, " "),)

    def finish(self) -> Sequence[str]:
        return () if self._held is None else (self._held.replace(self._suffix, ""),)


class StripEnds:
    """Takes up to `start` and `stop` of one character off the two ends of the whole text."""

    def __init__(self, character: str, start: int, stop: int) -> None:
        self._character = character
        self._start = start
        self._stop = stop
        self._tail = ""

    def feed(self, piece: str) -> Sequence[str]:
        while self._start and piece:
            if piece[0] != self._character:
                self._start = 0
                break
            piece, self._start = piece[1:], self._start - 1
        if not self._stop:
            return (piece,)
        text = self._tail + piece
        keep = len(text) - min(self._stop, len(text) - len(text.rstrip(self._character)))
        self._tail = text[keep:]
        return (text[:keep],)

    def finish(self) -> Sequence[str]:
        return ()


class Replaced:
    """`str.replace` over a stream: what might be the beginning of the pattern waits for the next piece."""

    def __init__(self, pattern: str, content: str) -> None:
        self._pattern = pattern
        self._content = content
        self._held = ""

    def feed(self, piece: str) -> Sequence[str]:
        *whole, rest = (self._held + piece).split(self._pattern)
        cut = next(
            (
                i
                for i in range(max(0, len(rest) - len(self._pattern) + 1), len(rest))
                if self._pattern.startswith(rest[i:])
            ),
            len(rest),
        )
        self._held = rest[cut:]
        return (self._content.join([*whole, rest[:cut]]),)

    def finish(self) -> Sequence[str]:
        return (self._held,)


class Whole:
    """A decoder that this file does not know as a stream: all text comes at the end, right but not early."""

    def __init__(self, decode: Callable[[list[str]], str]) -> None:
        self._decode = decode
        self._tokens: list[str] = []

    def feed(self, piece: str) -> Sequence[str]:
        self._tokens.append(piece)
        return ()

    def finish(self) -> Sequence[str]:
        return (self._decode(self._tokens),)


class TextStream:
    """A chain of steps: `feed` one token, get the text that is certain; `finish` gives the rest."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    def feed(self, token: str) -> str:
        return self._through((token,), 0)

    def finish(self) -> str:
        return "".join(self._through(step.finish(), i + 1) for i, step in enumerate(self._steps))

    def _through(self, pieces: Sequence[str], first: int) -> str:
        for step in self._steps[first:]:
            pieces = [out for piece in pieces for out in step.feed(piece)]
        return "".join(pieces)


def steps_of(decoder: Mapping[str, Any] | None, decode: Callable[[list[str]], str]) -> list[Step]:
    """The steps of a tokenizer.json `decoder` entry; none means that tokens are joined by spaces.

    A chain with a step that this file does not know is run whole, by `decode`, once all tokens are there.
    """
    if decoder is None:
        return [PerToken(lambda token: " " + token, first=lambda token: token)]
    chain = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    steps: list[Step] = []
    fused = False
    for entry in chain:
        step = _step(entry, fused)
        if step is None:
            return [Whole(decode)]
        steps.append(step)
        fused = fused or entry["type"] in ("ByteLevel", "Fuse")
    return steps


def _step(entry: Mapping[str, Any], fused: bool) -> Step | None:
    """One entry of a decoder chain; after Fuse or ByteLevel the steps see one text instead of tokens."""
    match entry["type"], fused:
        case "ByteLevel", False:
            return Utf8Bytes()
        case "ByteFallback", False:
            return ByteRuns()
        case "Fuse", _:
            return PerToken(lambda text: text)
        case "Strip", True:
            return StripEnds(entry["content"], entry["start"], entry["stop"])
        case "Replace", True if "String" in entry["pattern"]:
            return Replaced(entry["pattern"]["String"], entry["content"])
        case "BPEDecoder", False:
            return Suffixed(entry["suffix"])
        case "Metaspace", False:
            space, skip = entry["replacement"], entry.get("prepend_scheme", "always") != "never"
            return PerToken(
                lambda token: token.replace(space, " "),
                first=(lambda token: token.replace(space, "")) if skip else None,
            )
        case "WordPiece", False:
            pieces = decoders.WordPiece(entry["prefix"], entry["cleanup"])
            # an empty token before it makes it a later one of the list, which gets its space
            later = partial(_decode_one, pieces, [""])
            return PerToken(later, first=partial(_decode_one, pieces, []))
        case "Replace", False:
            kind, pattern = next(iter(entry["pattern"].items()))
            replace = decoders.Replace(Regex(pattern) if kind == "Regex" else pattern, entry["content"])
            return PerToken(partial(_decode_one, replace, []))
        case "Strip", False:
            strip = decoders.Strip(entry["content"], entry["start"], entry["stop"])
            return PerToken(partial(_decode_one, strip, []))
    return None


def _decode_one(decoder: decoders.Decoder, before: list[str], token: str) -> str:
    text: str = decoder.decode([*before, token])
    return text


CLEAN_UP = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
]  # fmt: skip


def clean_up_steps() -> list[Step]:
    """What `clean_up_tokenization_spaces` asks for, as transformers does it: ten replacements in turn."""
    return [Replaced(pattern, content) for pattern, content in CLEAN_UP]
