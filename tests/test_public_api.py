"""What `import pellucid` offers: exactly these names, sorted, each there and documented."""

import pkgutil

import pellucid


def test_exported_names_are_there_sorted_and_documented() -> None:
    names = pellucid.__all__
    assert names == sorted(names, key=lambda n: (not n.isupper(), n[0].islower(), n))
    for name in names:
        assert getattr(pellucid, name).__doc__, f"{name} has no docstring"


def test_nothing_else_is_public() -> None:
    modules = {module.name for module in pkgutil.iter_modules(pellucid.__path__)}
    public = {name for name in vars(pellucid) if not name.startswith("_")}
    assert public - modules <= set(pellucid.__all__)
