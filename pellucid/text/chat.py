"""Chat templates: a conversation to the one prompt text that a checkpoint was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jinja2

from pellucid.errors import TokenizerError
from pellucid.text.template_render import compile_template, render


@dataclass(frozen=True)
class ChatTemplate:
    """A published Jinja chat template, or several by name ("default", "tool_use", "rag").

    `special_tokens` are the texts that templates call `bos_token`, `eos_token`, ... A template comes with a
    checkpoint and may be hostile: it runs in a sandbox with limits (template_sandbox.py).
    """

    source: str | Mapping[str, str]
    special_tokens: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        documents: Sequence[Mapping[str, str]] | None = None,
        template: str | None = None,
        **variables: Any,
    ) -> str:
        """The prompt text of a conversation; encode it with `add_special_tokens=False`.

        `messages` are `{"role": ..., "content": ...}`, with whatever else the template reads; `tools` are
        JSON schemas of functions; `template` picks one by name; `variables` go to the template as they are
        (`enable_thinking=False`).

        Raises RequestError when the template refuses this conversation (roles that do not alternate, no
        system turn), TokenizerError when the template itself is at fault: damaged, over its limits, reaching
        for Python.
        """
        values = {
            **self.special_tokens,
            "messages": messages,
            "tools": tools,
            "documents": documents,
            "add_generation_prompt": add_generation_prompt,
            **variables,
        }
        return render(self._compiled(template or self._default(tools is not None)), values)

    def _default(self, with_tools: bool) -> str:
        return "tool_use" if with_tools and "tool_use" in self.sources else "default"

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """The templates by name."""
        return {"default": self.source} if isinstance(self.source, str) else self.source

    @cached_property
    def _templates(self) -> dict[str, jinja2.Template]:
        return {}

    def _compiled(self, name: str) -> jinja2.Template:
        if name not in self.sources:
            raise TokenizerError(
                f"the checkpoint has no chat template named {name!r}: "
                f"choose one with template=NAME among {', '.join(sorted(self.sources))}"
            )
        if name not in self._templates:
            self._templates[name] = compile_template(self.sources[name])
        return self._templates[name]
