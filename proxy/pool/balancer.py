"""Finds the picker that BALANCER names; one of the user's own is imported here."""

import inspect
from functools import partial
from importlib import import_module
from typing import Any

from proxy.config import PREFIX, Balancer, HashKey, ServiceSettings
from proxy.config.values import nearest
from proxy.errors import Fault, SettingsError
from proxy.policy.pickers import PICKERS, Factory, algorithm


def factory_of(settings: ServiceSettings) -> Factory:
    """What makes the pickers of this service. Raises SettingsError when its own one cannot be had."""
    if settings.balancer == Balancer.MAGLEV:
        from proxy.policy.pickers.maglev import Maglev

        # One key for all connections: a bound would spread what is meant to stick.
        bound = 0.0 if settings.hash_key is HashKey.POD else settings.hash_balance_factor
        return partial(Maglev, bound=bound)
    if settings.balancer in PICKERS:
        return algorithm(settings.balancer)
    try:
        factory = _imported(settings.balancer)
    except ValueError as problem:
        fault = Fault(f"{PREFIX}{settings.prefix}BALANCER", settings.balancer, str(problem))
        raise SettingsError([fault]) from problem.__cause__
    from proxy.pool.watched import Watch

    return Watch(factory, settings.name, settings.balancer)


def problem_with(balancer: str) -> str:
    """Why a picker of the user's own cannot be had; nothing for those that come with Headway."""
    if balancer not in PICKERS and ":" in balancer:
        try:
            _imported(balancer)
        except ValueError as problem:
            return str(problem)
    return ""


def _imported(own: str) -> Factory:
    """The factory at `module:factory`. Raises ValueError that says what is wrong with it."""
    module_name, _, name = own.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"{module_name} needs a module that is missing: {error}") from error
        raise ValueError(f"there is no module {error.name}; is its directory in PYTHONPATH?") from error
    except Exception as error:
        raise ValueError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ValueError(f"{module_name} has no {name}" + nearest(name, list(vars(module))))
    factory: Any = getattr(module, name)
    if not callable(factory):
        raise ValueError(f"{name} is not callable but a {type(factory).__name__}")
    if not _takes_three(factory):
        raise ValueError(f"{name} does not take (endpoints, rng, previous)")
    made: Factory = factory
    return made


def _takes_three(factory: Any) -> bool:
    try:
        inspect.signature(factory).bind((), None, None)
    except TypeError:
        return False
    except ValueError:  # of something written in C nobody knows
        return True
    return True
