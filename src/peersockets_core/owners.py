"""Type parameters for the objects that the surrounding program attaches to objects of the core.

A connection, a handle, and a request each have an `owner`: the task, or any other object, that acts for it.
The core never looks at it. A program that gives the types (`Peersockets[MyStream, MyReader]`) has its owners
checked; without them, an owner is an `object`.

`C` is the owner of connections, `H` that of topic handles and watches. `AskOwner` and `AnswerOwner` are
those of requests sent and requests received, `S` that of UDX streams. A suffix names the variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    C = TypeVar("C", default=object)
    C_co = TypeVar("C_co", default=object, covariant=True)
    C_contra = TypeVar("C_contra", default=object, contravariant=True)
    H = TypeVar("H", default=object)
    H_co = TypeVar("H_co", default=object, covariant=True)
    H_contra = TypeVar("H_contra", default=object, contravariant=True)
    AskOwner = TypeVar("AskOwner", default=object)
    AnswerOwner = TypeVar("AnswerOwner", default=object)
    S = TypeVar("S", default=object)
    S_co = TypeVar("S_co", default=object, covariant=True)
    S_contra = TypeVar("S_contra", default=object, contravariant=True)
else:  # a type parameter has a default only from Python 3.13 on
    from typing import TypeVar

    C = TypeVar("C")
    C_co = TypeVar("C_co", covariant=True)
    C_contra = TypeVar("C_contra", contravariant=True)
    H = TypeVar("H")
    H_co = TypeVar("H_co", covariant=True)
    H_contra = TypeVar("H_contra", contravariant=True)
    AskOwner = TypeVar("AskOwner")
    AnswerOwner = TypeVar("AnswerOwner")
    S = TypeVar("S")
    S_co = TypeVar("S_co", covariant=True)
    S_contra = TypeVar("S_contra", contravariant=True)
