"""A transformer engine you can see through: the flat, sorted public API."""

from pellucid.demo import demo
from pellucid.errors import (
    ConfigError,
    OutOfMemoryError,
    PellucidError,
    RequestError,
    SourceError,
    TokenizerError,
    WeightsError,
)
from pellucid.llm import LLM
from pellucid.lora import LoRARequest
from pellucid.models.config import ModelConfig
from pellucid.models.loading import load_model
from pellucid.outputs import BeamSearchOutput, CompletionOutput, Piece, RequestOutput
from pellucid.report import Report
from pellucid.sampling.logprobs import Logprob
from pellucid.sampling.params import BeamSearchParams, SamplingParams
from pellucid.text_to_text import summarize, translate
from pellucid.trace.trace import Trace

__version__ = "0.1.0"

__all__ = [
    "LLM",
    "BeamSearchOutput",
    "BeamSearchParams",
    "CompletionOutput",
    "ConfigError",
    "LoRARequest",
    "Logprob",
    "ModelConfig",
    "OutOfMemoryError",
    "PellucidError",
    "Piece",
    "Report",
    "RequestError",
    "RequestOutput",
    "SamplingParams",
    "SourceError",
    "TokenizerError",
    "Trace",
    "WeightsError",
    "demo",
    "load_model",
    "summarize",
    "translate",
]
