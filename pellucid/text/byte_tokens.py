"""Tokens that stand for bytes: GPT-2's byte alphabet and SentencePiece's `<0xE2>`."""


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's table: printable Latin-1 stands for itself, other bytes for the characters from U+0100 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(rest)}


BYTE_ALPHABET = _byte_alphabet()


def bytes_of(token: str) -> bytes:
    """The bytes a byte-level token stands for; an added token, written as text, stands for its own."""
    try:
        return bytes(BYTE_ALPHABET[character] for character in token)
    except KeyError:
        return token.encode("utf-8")


def byte_of(token: str) -> int | None:
    """The byte of a SentencePiece byte token such as `<0xE2>`, None for any other token."""
    if len(token) != 6 or not token.startswith("<0x") or not token.endswith(">"):
        return None
    try:
        return int(token[3:5], 16)
    except ValueError:
        return None
