"""Exceptions as the traces show them: by kind, and by text where the script itself gave it."""

import asyncio

_kinds = {}


def make(kind, text):
    """An exception of the script's own, or of a kind that asyncio has."""
    if kind == 'CancelledError':
        return asyncio.CancelledError(text) if text else asyncio.CancelledError()
    if kind == 'SystemExit':
        return SystemExit(int(text))
    if kind == 'TimeoutError':
        return TimeoutError(text)
    if kind not in _kinds:
        _kinds[kind] = type(kind, (Exception,), {})
    return _kinds[kind](text)


def kind_of(exception):
    if isinstance(exception, BaseExceptionGroup):
        return 'ExceptionGroup'
    return type(exception).__name__


def describe(exception):
    kind = kind_of(exception)
    if isinstance(exception, BaseExceptionGroup):
        return f'{kind}[{", ".join(describe(each) for each in exception.exceptions)}]'
    if isinstance(exception, asyncio.IncompleteReadError):
        return f'{kind}: "{exception.partial.decode()}" of {exception.expected}'
    if isinstance(exception, asyncio.LimitOverrunError):
        return f'{kind}: {exception.consumed}'
    own = kind in _kinds or isinstance(exception, (asyncio.CancelledError, SystemExit))
    if own and exception.args and exception.args[0] not in ('', None):
        return f'{kind}: {exception.args[0]}'
    return kind


def matches(exception, clause):
    """`except any` is all but a cancellation and SystemExit; `except` alone is all."""
    if clause == 'any':
        return isinstance(exception, Exception)
    return not clause or kind_of(exception) in clause.split()
