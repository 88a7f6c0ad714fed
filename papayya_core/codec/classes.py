"""Classes as text: ``module:qualname``, checked when written and when read.

A parametrised class is a list, ``[class, parameter, …]``, and a union ``["|", member, …]``,
or ``["Union", member, …]`` in the older spelling, which pydantic tells apart.

Reading may import the module of a stored class, as unpickling does, but finds nothing but classes
there, and the callers check their kind: nobody who writes to the database gets a function called.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable
from functools import reduce
from types import GenericAlias, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from papayya_core.codec.failures import Refused, Undecodable

_UNIONS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "|": lambda members: reduce(operator.or_, members),
    "Union": lambda members: Union[members],  # noqa: UP007 - not an annotation
}
Reference = str | list[Any] | None


def name_of(cls: type | TypeVar) -> str:
    """Name a class, or a type variable, without checking that the name leads back to it."""
    # multiprocessing's spawned children know the script under a second name
    module = "__main__" if cls.__module__ == "__mp_main__" else cls.__module__
    return f"{module}:{cls.__name__ if isinstance(cls, TypeVar) else cls.__qualname__}"


def refer(cls: type | TypeVar) -> str:
    """Name a class so that ``resolve`` finds this very class again, or raise Refused."""
    name = name_of(cls)
    module, _, path = name.partition(":")
    if _walk(sys.modules.get(module), path) is not cls:
        raise Refused(
            f"its class cannot be found again as {name}; define it once, at the top level of a "
            "module, outside functions"
        )
    return name


def refer_generic(origin: Any, arguments: tuple[object, ...]) -> list[Any]:
    """Name a parametrised class such as ``Page[User]`` or ``list[int]``."""
    return [refer(origin), *map(_refer_argument, arguments)]


def _refer_argument(argument: object) -> Reference:
    if argument is None or argument is type(None):
        return None
    if isinstance(argument, GenericAlias):
        return refer_generic(argument.__origin__, argument.__args__)
    if (union := get_origin(argument)) in (Union, UnionType):
        return [
            "Union" if union is Union else "|",
            *map(_refer_argument, get_args(argument)),
        ]
    if not isinstance(argument, (type, TypeVar)):
        raise Refused(f"its type parameter {argument!r} is not a class; parametrise it by classes")
    metadata = getattr(argument, "__pydantic_generic_metadata__", None)
    if metadata and metadata["origin"]:
        return refer_generic(metadata["origin"], metadata["args"])
    return refer(argument)


def resolve(reference: object) -> Any:
    """Find the class that ``refer`` or ``refer_generic`` named, importing its module if needed."""
    if reference is None:
        return None
    if isinstance(reference, list) and reference:
        arguments = tuple(map(resolve, reference[1:]))
        if reference[0] in _UNIONS:
            return _UNIONS[reference[0]](arguments)
        return resolve(reference[0])[arguments]
    if not isinstance(reference, str):
        raise Undecodable(f"{reference!r} does not name a class")
    return _find(reference)


def _find(name: str) -> type | TypeVar:
    module_name, _, path = name.partition(":")
    try:
        module = sys.modules.get(module_name) or importlib.import_module(module_name)
    except Exception as exc:
        raise Undecodable(
            f"the class {name} was saved, but its module cannot be imported here: {exc}"
        ) from exc
    found = _walk(module, path)
    if found is None:
        where = "the running script" if module_name == "__main__" else f"module {module_name}"
        raise Undecodable(
            f"the class {name} was saved, but {where} has no such class; bring it back under this "
            "name, or put it in a module that every worker imports"
        )
    return found


def _walk(module: object, path: str) -> type | TypeVar | None:
    """Follow a qualname through classes only, never through instances or functions."""
    *outer, last = path.split(".")
    for name in outer:
        module = getattr(module, name, None)
        if not isinstance(module, type):
            return None
    found = getattr(module, last, None)
    return found if isinstance(found, (type, TypeVar)) else None


def expect_kind(cls: object, base: type, what: str) -> None:
    """Raise Undecodable unless ``cls`` is a subclass of ``base``."""
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise Undecodable(f"{cls!r} was saved as {what}, and it is none")
