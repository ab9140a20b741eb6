"""Which blocks hold which tokens, so that a prompt's known beginning is not computed again.

A tree over full blocks. The root of a tree stands for everything beside the tokens that shapes K and V
(tenant's salt, adapter, encoder input, rotary regime); each node below stands for its parent's tokens and
then `block_size` more. A node is found by the hash of (parent, its tokens), which chains the hashes of the
whole prefix as in vLLM's automatic prefix caching; and because the table compares parent and tokens
themselves on every hit, equal hashes can never hand one prompt's keys and values to another.
"""

from collections.abc import Hashable, Sequence
from functools import partial
from itertools import count

from pellucid.cache.block_pool import BlockPool


class Node:
    """A prefix of whole blocks. It lives while a block holds its last tokens or something stands on it."""

    __slots__ = ("block", "id", "key", "parent", "uses")

    def __init__(self, id: int, parent: "Node | None", key: tuple[int, Hashable]) -> None:
        self.id = id
        self.parent = parent
        self.key = key
        self.block: int | None = None
        self.uses = 0
        """How many child nodes and block tables stand on it."""


class PrefixCache:
    """Finds and remembers prefixes; whether a block stays in memory is the pool's business."""

    def __init__(self, pool: BlockPool, block_size: int) -> None:
        self.block_size = block_size
        self._pool = pool
        self._ids = count(1)
        self._nodes: dict[tuple[int, Hashable], Node] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def root(self, key: Hashable) -> Node:
        """The empty prefix of a world of its own: equal keys, and only those, share blocks."""
        return self._nodes.get((0, key)) or self._grow(None, (0, key))

    def match(self, key: Hashable, token_ids: Sequence[int]) -> list[Node]:
        """The longest chain of nodes from the root whose blocks are all still there, the root left out."""
        node, chain = self._nodes.get((0, key)), []
        for start in range(0, len(token_ids) - self.block_size + 1, self.block_size):
            if node is None:
                break
            node = self._nodes.get((node.id, tuple(token_ids[start : start + self.block_size])))
            if node is None or node.block is None:
                break
            chain.append(node)
        return chain

    def insert(self, parent: Node, token_ids: Sequence[int], block: int) -> Node:
        """The node for `parent`'s tokens and then these. `block` becomes its block unless it has one."""
        assert len(token_ids) == self.block_size
        key = (parent.id, tuple(token_ids))
        node = self._nodes.get(key) or self._grow(parent, key)
        if node.block is None and not self._pool.is_kept(block):
            node.block = block
            self._pool.keep(block, partial(self._lose_block, node))
        return node

    def pin(self, node: Node) -> None:
        """Something stands on this node: it stays even when its block goes."""
        node.uses += 1

    def unpin(self, node: Node) -> None:
        """Something that stood on this node went away."""
        node.uses -= 1
        self._prune(node)

    def check(self) -> None:
        """Assert every invariant; for tests."""
        children: dict[int, int] = {}
        for key, node in self._nodes.items():
            assert node.key == key and (node.block is not None or node.uses > 0), "a node nothing needs"
            assert node.block is None or self._pool.is_kept(node.block)
            if node.parent is not None:
                assert self._nodes.get(node.parent.key) is node.parent, "a node without its parent"
                children[node.parent.id] = children.get(node.parent.id, 0) + 1
        assert all(children.get(node.id, 0) <= node.uses for node in self._nodes.values())
        blocks = [node.block for node in self._nodes.values() if node.block is not None]
        assert len(blocks) == len(set(blocks)), "one block holds two prefixes"

    def _grow(self, parent: Node | None, key: tuple[int, Hashable]) -> Node:
        node = Node(next(self._ids), parent, key)
        self._nodes[key] = node
        if parent is not None:
            parent.uses += 1
        return node

    def _lose_block(self, node: Node) -> None:
        node.block = None
        self._prune(node)

    def _prune(self, node: Node | None) -> None:
        while node is not None and node.block is None and node.uses == 0:
            del self._nodes[node.key]
            node = node.parent
            if node is not None:
                node.uses -= 1
