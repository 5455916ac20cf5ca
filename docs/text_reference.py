"""Writes docs/api/: the reference as text, from the docstrings. `make reference` runs it.

    python docs/text_reference.py

The pages are part of the repository, so that a reader needs no build; a test shows that they are up to date.
An item is a public name of a package. Its members are those without an underscore, and the special methods
below. Left out are the constructor of a class whose objects a program gets from a call ("made by ..."), the
methods that a library calls, attributes without a text, and bases that are not public.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer

FOLDER: Final = Path(__file__).parent / "api"

PACKAGES: Final[dict[str, tuple[str, ...]]] = {
    "peersockets_core": ("outbox.Outbox", "topics.naming.addresses", "wires.keys.Keys"),
    "peersockets_core.udx": (),
    "peersockets_core.dht": (),
    "peersockets_core.swarm": (),
    "peersockets_core.trace": (),
    "peersockets_core.wires.hypercore11.protomux": (),
    "peersockets_asyncio": (),
    "peersockets_trio": (),
    "peersockets_trio.browser": (),
    "peersockets_trio.testing": (),
}
"""The pages: a package with its `__all__`, and what else its objects hand out."""

SPECIAL: Final = {
    "__len__": "len(...)",
    "__contains__": "... in ...",
    "__getitem__": "...[...]",
    "__iter__": "for ... in ...",
    "__aiter__": "async for ... in ...",
    "__enter__": "with ...",
    "__aenter__": "async with ...",
}

HIDDEN: Final = re.compile(r"(?:node|gateway|asyncio) calls this", re.IGNORECASE)
"""The text of a method that is public for the code that calls it, and not for programs."""

MADE: Final = re.compile(r"\b(?:made|opened) by (?:a )?`")
"""The text of a class whose objects come from a call."""

_REPRS: Final = (
    (r"<(?:function|class|built-in method|built-in function) ([\w.]+)[^<>]*>", r"\1"),
    (r"<([\w.]+): [^<>]*>", r"\1"),  # a member of an Enum
    (r"ForwardRef\('([^()]+)'\)", r"\1"),
    (r"\bNOTHING\b", "..."),  # a default that is made again each time
)
"""The stand-in for the reprs of defaults, which differ from run to run or say nothing."""


def page(name: str) -> str:
    """Return the Markdown of a package's page."""
    module = importlib.import_module(name)
    lines = [f"# {name}", "", "<!-- from the docstrings: `make reference` writes this page -->", ""]
    lines += [*_text(inspect.getdoc(module)), ""]
    for item, value in public_items(module, PACKAGES[name]):
        lines += _item(module, item, value)
    return "\n".join(lines).rstrip() + "\n"


def public_items(module: ModuleType, others: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yield the public names of a package and their values, and those of `others`, by their modules."""
    for name in getattr(module, "__all__", ()):
        yield name, getattr(module, name)
    for path in others:
        place, _, name = path.rpartition(".")
        origin = importlib.import_module(f"{module.__name__}.{place}" if place else module.__name__)
        yield name, getattr(origin, name)


def members(cls: type) -> dict[str, tuple[type, str | None]]:
    """Return the public members of a class, each with the class of ours that defines it and its text."""
    found: dict[str, tuple[type, str | None]] = {}
    for base in cls.__mro__:
        if not base.__module__.startswith("peersockets"):
            continue
        texts = _attribute_texts(base)
        fields = vars(base).get("__annotations__", {})
        names = [*vars(base), *fields, *texts]
        for name in dict.fromkeys(names):
            if (name.startswith("_") and name not in SPECIAL) or name in found:
                continue
            text = texts.get(name) or _docstring(base, name)
            internal = inspect.ismemberdescriptor(vars(base).get(name)) and name not in fields
            if not (text is None and internal) and not HIDDEN.search(text or ""):
                found[name] = (base, text)
    return found


def _item(module: ModuleType, name: str, value: Any) -> list[str]:
    lines = [f"## {name}", ""]
    if isinstance(value, type):
        bases = [base.__name__ for base in value.__bases__ if _is_named(base, module)]
        kind = "exception" if issubclass(value, BaseException) else "class"
        text = inspect.getdoc(value)
        constructed = not MADE.search((text or "").partition("\n\n")[0]) and not issubclass(value, enum.Enum)
        signature = _signature(value) if constructed else ""
        lines += [f"`{kind} {name}{signature}`" + (f", a {', '.join(bases)}" if bases else ""), ""]
        lines += [*_text(text), ""]
        constructor = (getattr(vars(value).get("__init__"), "__doc__", None) or "") if constructed else ""
        if constructor and not constructor.startswith("Method gen"):
            lines += [*_text(inspect.cleandoc(constructor)), ""]
        for member, (base, member_text) in members(value).items():
            lines += [_member(value, base, member), "", *_text(member_text), ""]
    elif callable(value) and hasattr(value, "__code__"):
        kind = "async def" if inspect.iscoroutinefunction(value) else "def"
        lines += [f"`{kind} {name}{_signature(value)}`", "", *_text(inspect.getdoc(value)), ""]
    else:
        lines += [f"`{name} = {_definition(module, name, value)}`", "", *_text(_data_text(module, name)), ""]
    return lines


def _is_named(base: type, module: ModuleType) -> bool:
    """Whether a base class is worth naming: one of the library's own public ones, or of another's."""
    if base.__module__.startswith("peersockets"):
        return base.__name__ in getattr(module, "__all__", ())
    return base.__name__ not in ("object", "Generic", "Protocol", "ABC")


def _member(cls: type, base: type, name: str) -> str:
    value = inspect.getattr_static(base, name, None)
    if name in SPECIAL:
        return f"### {cls.__name__}: `{SPECIAL[name]}`"
    title = f"### {cls.__name__}.{name}"
    if isinstance(value, property) and value.fget is not None:
        return f"{title}\n\n`{name}{_result(value.fget)}`"
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    if inspect.isfunction(function):
        kind = "async def" if inspect.iscoroutinefunction(function) else "def"
        return f"{title}\n\n`{kind} {name}{_signature(function)}`"
    annotation = vars(base).get("__annotations__", {}).get(name)
    annotation = getattr(annotation, "__forward_arg__", annotation)
    return title if annotation is None else f"{title}\n\n`{name}: {annotation}`"


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    if isinstance(value, type):
        signature = signature.replace(return_annotation=inspect.Signature.empty)
        if any(name in ("args", "kwargs", "new_class_name") for name in signature.parameters):
            return ""  # of a Protocol, an Enum or an exception without a constructor of its own
    parameters = [
        parameter for name, parameter in signature.parameters.items() if name not in ("self", "cls")
    ]
    parameters = [parameter.replace(annotation=_annotation(parameter.annotation)) for parameter in parameters]
    result = _annotation(signature.return_annotation)
    made = inspect.unwrap(value)
    if inspect.isasyncgenfunction(made) and made is not value:  # `asynccontextmanager` keeps its annotation
        result = _Plain(re.sub(r"^AsyncIterator\b", "AbstractAsyncContextManager", str(result)))
    return _stable(str(signature.replace(parameters=parameters, return_annotation=result)))


class _Plain(str):
    """The text of an annotation, which a signature shows without quotation marks."""

    def __repr__(self) -> str:
        return str(self)


def _annotation(annotation: Any) -> Any:
    return _Plain(annotation) if isinstance(annotation, str) else annotation


def _stable(text: str) -> str:
    for pattern, replacement in _REPRS:
        text = re.sub(pattern, replacement, text)
    return text


def _result(function: Any) -> str:
    annotation = inspect.signature(function).return_annotation
    return "" if annotation is inspect.Signature.empty else f": {annotation}"


def _docstring(base: type, name: str) -> str | None:
    value = inspect.getattr_static(base, name, None)
    value = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    described = isinstance(value, property) or inspect.isroutine(value)
    return inspect.cleandoc(value.__doc__) if described and value.__doc__ else None


def _attribute_texts(base: type) -> dict[str, str]:
    """The strings after a class's attributes, wherever it sets them."""
    return {
        name: "\n".join(lines).strip()
        for (place, name), lines in _texts_of(base.__module__).items()
        if place == base.__qualname__
    }


def _texts_of(module: str) -> dict[tuple[str, str], list[str]]:
    try:
        return ModuleAnalyzer.for_module(module).find_attr_docs()
    except PycodeError:
        return {}


def _data_text(module: ModuleType, name: str) -> str | None:
    """The string after a variable, in the module of ours that defines it."""
    place, _ = next(_definitions(module, name))
    return "\n".join(_texts_of(place).get(("", name), ())).strip() or None


def _definition(module: ModuleType, name: str, value: Any) -> str:
    """The value of a variable: a plain one as it is, and another as the source defines it."""
    if isinstance(value, int | str | tuple):
        return repr(value)
    return next(ast.unparse(node) for _, node in _definitions(module, name))


def _definitions(module: ModuleType, name: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield the modules of ours that set a variable to its value, each with the expression: the package's
    own modules first.
    """
    root = importlib.import_module(module.__name__.partition(".")[0])
    assert root.__file__ is not None
    assert module.__file__ is not None
    folder, own = Path(root.__file__).parent, Path(module.__file__).parent
    for package in dict.fromkeys((folder, folder.parent / "peersockets_core")):
        for path in sorted(package.rglob("*.py"), key=lambda path: (not path.is_relative_to(own), path)):
            text = path.read_text()
            if not re.search(rf"^{name}\b", text, re.MULTILINE):
                continue
            place = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
            if getattr(importlib.import_module(place), name, None) is not getattr(module, name):
                continue
            for node in ast.parse(text).body:
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                if name in [getattr(target, "id", None) for target in targets]:
                    assert isinstance(node, ast.Assign | ast.AnnAssign)
                    assert node.value is not None
                    yield place, node.value


def _text(text: str | None) -> list[str]:
    return [] if text is None else text.splitlines()


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name in PACKAGES:
        (FOLDER / f"{name}.md").write_text(page(name))


if __name__ == "__main__":
    main()
