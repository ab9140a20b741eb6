"""Hub ids: what is downloaded, what the cache gives without a network, and every failure said clearly."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub import FakeHub, Repository, pull_request
from huggingface_hub import constants
from llama_folder import write_llama

from pellucid.errors import SourceError
from pellucid.models import download, hub


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> dict[str, Repository]:
    scratch = tmp_path_factory.mktemp("published")
    whole = files_of(write_llama(scratch / "whole"))
    sharded = files_of(write_llama(scratch / "sharded", shards=3))
    config, weights = whole["config.json"], whole["model.safetensors"]
    unread = {
        "README.md": b"#", "modeling_x.py": b"boom", "consolidated.safetensors": weights, "pytorch_model.bin": b"x",
        "onnx/model.safetensors": weights, "tf_model.h5": b"", "tokenizer.json": b"{}", "1_Pooling/config.json": b"{}",
    }  # fmt: skip
    pickled = {"config.json": config, "pytorch_model.bin": b"pickle"}
    converted = {**pickled, "model.safetensors": weights}
    return {
        "someone/whole": Repository({"main": whole | unread, "v1": {**whole, "tokenizer.json": b"[]"}}),
        "someone/sharded": Repository({"main": sharded | {"model-extra.safetensors": b"x"}}),
        "someone/cached-before": Repository({"main": whole}),
        "someone/gated": Repository({}, refusal=(403, "GatedRepo")),
        "someone/private": Repository({}, refusal=(401, "RepoNotFound")),
        "someone/cut": Repository({"main": whole}, cut=frozenset({"model.safetensors"})),
        "someone/pickled": Repository({"main": pickled}),
        "someone/converted": Repository(
            {"main": pickled, "refs/pr/4": converted},
            pull_requests=[pull_request(3, "somebody-else"), pull_request(4, "SFconvertbot")],
        ),
        "someone/converted-before-it-changed": Repository(
            {"main": {**pickled, "pytorch_model.bin": b"newer"}, "refs/pr/4": converted},
            pull_requests=[pull_request(4, "SFconvertbot")],
        ),
        "someone/converted-by-a-stranger": Repository(
            {"main": pickled, "refs/pr/4": converted}, pull_requests=[pull_request(4, "SFconvertb0t")]
        ),
        "someone/packed": Repository({"main": {"a-Q4_0.gguf": b"GGUF", "b.gguf": b"GGUF", "README.md": b""}}),
        "someone/dataset": Repository({"main": {"data.csv": b"1,2"}}),
        "someone/no-weights": Repository({"main": {"config.json": config}}),
    }


class Client:
    """Finds models in a process of its own, with its own cache."""

    def __init__(self, home: Path, endpoint: str) -> None:
        settings = {
            "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": os.pathsep.join(sys.path),
        }  # fmt: skip
        program = Path(__file__).with_name("hub_client.py")
        self._process = subprocess.Popen(
            [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("HF_")} | settings,
        )  # fmt: skip

    def find(self, name: str, **options) -> dict:
        self._process.stdin.write(json.dumps({"name": name, **options}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def fake_hub(repositories):
    server = FakeHub(repositories)
    yield server
    server.close()


@pytest.fixture(scope="module")
def online(fake_hub, home):
    client = Client(home, fake_hub.endpoint)
    yield client
    client.close()


@pytest.fixture
def cache(online, home, monkeypatch):
    """The cache that the client has filled, here in this process."""
    assert "path" in online.find("someone/cached-before")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))


@pytest.fixture
def offline(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_only_what_is_read_is_downloaded(online) -> None:
    folder = Path(online.find("someone/whole")["path"])
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["1_Pooling/config.json", "config.json", "model.safetensors", "tokenizer.json"]


def test_of_shards_those_that_the_index_names(online) -> None:
    folder = Path(online.find("someone/sharded")["path"])
    assert len(list(folder.glob("*.safetensors"))) == 3


def test_a_revision(online) -> None:
    folder = Path(online.find("someone/whole", revision="v1")["path"])
    assert (folder / "tokenizer.json").read_bytes() == b"[]"


def test_a_gguf_file_in_a_repository(online) -> None:
    found = online.find("someone/packed/a-Q4_0.gguf")
    assert Path(found["path"]).read_bytes() == b"GGUF" and found["kind"] == "hub"


def test_the_cache_serves_without_a_network(offline, fake_hub) -> None:
    before = len(fake_hub.requests)
    source = hub.find("someone/cached-before")
    assert (source.path / "model.safetensors").exists() and len(fake_hub.requests) == before


def test_pickle_weights_are_taken_from_the_hubs_own_conversion(online) -> None:
    found = online.find("someone/converted")
    assert (Path(found["path"]) / "model.safetensors").exists()
    assert not (Path(found["path"]) / "pytorch_model.bin").exists()
    assert any("refs/pr/4" in note for note in found["notes"])


REFUSALS = {
    "someone/pickled": ("pickle", "pellucid convert"),
    "someone/converted-before-it-changed": ("pickle", "pellucid convert"),
    "someone/converted-by-a-stranger": ("pickle", "pellucid convert"),
    "someone/gated": ("gated", "hf auth login"),
    "someone/private": ("no such model", "logged in"),
    "someone/whol": ("no such model", "Nearest names here: someone/whole"),
    "someone/cut": ("interrupted", "run the same again"),
    "someone/packed": ("GGUF files", "someone/packed/a-Q4_0.gguf"),
    "someone/packed/c.gguf": ("no file 'c.gguf'", "someone/packed/b.gguf"),
    "someone/dataset": ("no config.json", "data.csv"),
    "someone/no-weights": ("no weights", "config.json"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_failures_are_one_clear_error(online, name) -> None:
    online.find("someone/whole")
    answer = online.find(name)
    assert answer.get("error") == "SourceError", answer
    assert answer["message"].startswith(name.removesuffix("/c.gguf")) and "\n" not in answer["message"]
    for part in REFUSALS[name]:
        assert part in answer["message"]


def test_a_wrong_revision_is_named(online) -> None:
    assert "no revision 'v9'" in online.find("someone/whole", revision="v9")["message"]


def test_offline_says_why_the_hub_was_not_asked(offline) -> None:
    with pytest.raises(SourceError, match=r"HF_HUB_OFFLINE.*Nearest names here: someone/cached-before"):
        hub.find("someone/cached-befor")


def test_no_network(cache, monkeypatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"someone/else.*cannot be reached; check the network"):
        hub.find("someone/else")
    assert hub.find("someone/cached-before").kind == "hub"


def test_a_full_disk(cache, monkeypatch) -> None:
    def full(*args, **options) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "snapshot_download", full)
    with pytest.raises(
        SourceError, match=r"someone/whole: the disk is full: .* free where the cache is.*HF_HOME"
    ):
        hub.find("someone/whole")


def test_local_names(tmp_path) -> None:
    assert hub.find(write_llama(tmp_path / "model")).kind == "local folder"
    (tmp_path / "model.bin").write_bytes(b"")
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "x.gguf").write_bytes(b"")
    for path, words in (
        (tmp_path, "without config.json"),
        (tmp_path / "model.bin", "no GGUF file"),
        (tmp_path / "packed", "x.gguf"),
        (tmp_path / "nothing", "no folder here"),
    ):
        with pytest.raises(SourceError, match=words):
            hub.find(path)
    with pytest.raises(SourceError, match="is no bundled model"):
        hub.find("pellucid/nothing")


def test_a_file_or_folder_beside_the_one_that_was_meant_leads_to_it(tmp_path) -> None:
    model = write_llama(tmp_path / "outer" / "model")
    adapter, loop = tmp_path / "adapter", tmp_path / "loop"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    loop.symlink_to(loop)
    for path, words in (
        (model / "model.safetensors", f"its folder, {model}"),
        (model / "config.json", f"its folder, {model}"),
        (model.parent, f"{model} has one"),
        (adapter, "LoRA adapter.*--lora"),
        (loop, "symbolic link that leads nowhere"),
    ):
        with pytest.raises(SourceError, match=words):
            hub.find(path)
