"""Rewrites a parsed template so that whatever costs more for larger values goes through the sandbox.

Jinja's sandbox lets an environment see calls, attributes, items and arithmetic. Comparisons, `~`, slices
and loops compile to plain Python: here they become calls of the environment's own functions, and every body
that can run more than once begins with a charge for its size.
"""

from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.visitor import NodeTransformer

from pellucid.text.template_meter import CHARACTERS_A_STEP


def guarded(name: str, *args: Any) -> nodes.Call:
    """A call of the environment's function `name`, which no variable can hide."""
    return nodes.Call(nodes.EnvironmentAttribute(name), list(args), [], None, None)


def cost(body: list[nodes.Node]) -> nodes.Const:
    """The steps that one run through a body takes, its values aside: its nodes, and its text by length."""
    found = [node for top in body for node in (top, *top.find_all(nodes.Node))]
    text = sum(len(node.data) for node in found if isinstance(node, nodes.TemplateData))
    return nodes.Const(1 + len(found) // 8 + text // CHARACTERS_A_STEP)


class Guard(NodeTransformer):
    """The rewriting, node by node."""

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        rest = [arg for operand in node.ops for arg in (nodes.Const(operand.op), operand.expr)]
        return guarded("compare", node.expr, *rest)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return guarded("concatenate", *node.nodes)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        ends = [node.arg.start, node.arg.stop, node.arg.step]
        return guarded("part", node.node, *(nodes.Const(None) if end is None else end for end in ends))

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Pair(guarded("key", node.key), node.value)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        price = cost(node.body)
        self.generic_visit(node)
        node.iter = guarded("iterate", node.iter)
        node.body = [nodes.ExprStmt(guarded("tick", price)), *node.body]
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._body(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        return self._body(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Node:
        return self._body(node)

    def _body(self, node: Any) -> nodes.Node:
        price = cost(node.body)
        self.generic_visit(node)
        node.body = [nodes.ExprStmt(guarded("tick", price)), *node.body]
        return node

    def _refuse(self, node: nodes.Node) -> nodes.Node:
        raise TemplateSyntaxError("a chat template stands alone: it cannot include another", node.lineno)

    visit_Include = visit_Import = visit_FromImport = visit_Extends = _refuse
