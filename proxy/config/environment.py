"""Reads the environment into frozen settings, or reports everything that is wrong with it at once."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from proxy.config.clashes import leads_back, taken_twice
from proxy.config.listen import Listen
from proxy.config.relations import AT_MOST, CAPS, NEEDS, NEVER_RAISED, word_of
from proxy.config.service import SERVICE_FIELDS, ServiceSettings
from proxy.config.service_link import is_service_link
from proxy.config.setting import Setting, variable
from proxy.config.settings import PROCESS_FIELDS, Settings
from proxy.config.targets import default_listen, default_name
from proxy.config.values import Kind, nearest
from proxy.errors import Fault, SettingsError

PREFIX = "HEADWAY_"
DEFAULT = "default"
WITHOUT_PREFIX = frozenset({"POD_NAME", "POD_NAMESPACE"})  # as the downward API is usually written
OF_SOCKETS = frozenset({"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})  # sd_listen_fds(3)
FIELDS = SERVICE_FIELDS | PROCESS_FIELDS
OF_ONE_SERVICE = frozenset({"TARGET", "LISTEN"})  # two services cannot share these
SERVICE_NAME = re.compile(r"[a-z]([a-z0-9_-]*[a-z0-9])?")
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

# What only those can say who use a setting: the problem with a field's value, if there is one.
Checks = Mapping[str, Callable[[Any], str]]


class Row(msgspec.Struct, frozen=True):
    """One effective setting as `headway check` prints it."""

    variable: str
    value: str
    origin: str


class Loaded(msgspec.Struct, frozen=True):
    settings: Settings
    rows: tuple[Row, ...]


def load(checks: Checks | None = None) -> Loaded:
    """The settings of this process. Raises SettingsError."""
    return from_env(variables(), checks)


def variables() -> Mapping[str, str]:
    """All variables of this process, for those who look at more than settings."""
    return os.environ


def handed_over() -> Mapping[str, str]:
    """What a supervisor says of the sockets it passes on. Gone afterwards: it is for one process only."""
    names = [name for name in os.environ if name in OF_SOCKETS]
    return {name: os.environ.pop(name) for name in names}


def from_env(env: Mapping[str, str], checks: Checks | None = None) -> Loaded:
    """The settings in `env`. Raises SettingsError with every fault in it."""
    reader = _Reader(env)
    names = reader.service_names()
    shared = {field: reader.read(setting, [variable(field)]) for field, setting in PROCESS_FIELDS.items()}
    services = [reader.service(name) for name in names]
    reader.settle_limits("", shared)
    reader.check(services, shared, checks or {})
    reader.refuse_unknown()
    reader.refuse_clashes(services, shared)
    reader.refuse_idle(services, shared)
    if reader.faults:
        raise SettingsError(list(reader.faults.values()))
    built = tuple(ServiceSettings(**fields) for fields in services)
    return Loaded(Settings(services=built, **shared), tuple(reader.rows))


def _prefix(name: str) -> str:
    """What the variables of a service start with; nothing for a lone one."""
    return f"{name.upper().replace('-', '_')}_" if name else ""


class _Reader:
    """Walks over one environment and notes what is known, effective and wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {name: text for name, text in env.items() if not is_service_link(name, text)}
        self.known = {PREFIX + "SERVICES"}
        self.rows: list[Row] = []
        self.faults: dict[str, Fault] = {}  # by text: a fallback that ten services share is one fault
        self.prefixes: list[str] = []

    def fault(self, name: str, problem: str) -> None:
        fault = Fault(name, self.env.get(name), problem)
        self.faults[str(fault)] = fault

    def _take_fault(self, name: str) -> str:
        """The first problem that was noted for this variable; it is no longer."""
        for text, fault in self.faults.items():
            if fault.variable == name:
                return self.faults.pop(text).problem
        return ""

    def service_names(self) -> list[str]:
        """The names in SERVICES; one empty name when the process has a single service."""
        name = PREFIX + "SERVICES"
        if name not in self.env:
            return [""]
        names = [part.strip() for part in self.env[name].split(",")]
        for each in names:
            if not SERVICE_NAME.fullmatch(each):
                self.fault(
                    name, f"{each!r} is not a service name; use a-z, 0-9, - and _, separated by commas"
                )
        if len({each.replace("-", "_") for each in names}) < len(names):
            self.fault(name, "names a service twice (- and _ count as the same)")
        self.rows.append(Row(name, self.env[name], "environment"))
        # Once for each prefix, whatever is wrong: the settings of a misspelt service are not wrong as well.
        return list({_prefix(each): each for each in WORD.findall(self.env[name])}.values()) or [""]

    def service(self, name: str) -> dict[str, Any]:
        """The fields of one service, each from its own variable, the plain one, or its default."""
        own = _prefix(name)
        if own:
            self.prefixes.append(own)
        fields: dict[str, Any] = {}
        for field, setting in SERVICE_FIELDS.items():
            plain = variable(field)
            fallback = [] if plain in OF_ONE_SERVICE or not own else [plain]
            fields[field] = self.read(setting, [own + plain, *fallback])
        fields["dns_servers"] = fields["dns_servers"] or ()
        fields["name"] = name or default_name(fields["target"])
        fields["prefix"] = own
        self._fill_listen(own, fields)
        self.settle_limits(own, fields)
        return fields

    def read(self, setting: Setting, names: list[str]) -> Any:
        """The value of the first of `names` that is set, else the default; None if that is wrong too."""
        variables = [PREFIX + name for name in names]
        # Without the prefix the variable is somebody else's, who may well leave it empty.
        variables += [name for name in names if name in WITHOUT_PREFIX and self.env.get(name)]
        if not self.known.isdisjoint(variables[:1]):
            self.fault(PREFIX + "SERVICES", f"has a name that makes {variables[0]} mean two things")
        self.known.update(variables)
        found = {name: self._parse(name, setting.kind) for name in variables if name in self.env}
        if found:
            origin, (value, shown) = next(iter(found.items()))
            note = "environment" if origin == variables[0] else f"environment, {origin}"
        else:
            value = None if setting.default is None else setting.kind.parse(setting.default)
            shown, note = setting.shown or setting.kind.show(value), DEFAULT
            if setting.shown == "required":
                self.fault(variables[0], f"is required: {setting.kind.allowed}")
        self.rows.append(Row(variables[0], shown, note))
        return value

    def _parse(self, name: str, kind: Kind[Any]) -> tuple[Any, str]:
        """The value and how it is shown; None and nothing if it is wrong."""
        text = self.env[name].strip()
        try:
            if not text:
                raise ValueError("is empty")
            if not text.isprintable():
                raise ValueError("has characters that cannot be printed")
            value = kind.parse(text)
            return value, kind.show(value)
        except ValueError as problem:
            self.fault(name, f"{problem}; allowed: {kind.allowed}")
            return None, ""

    def _fill_listen(self, own: str, fields: dict[str, Any]) -> None:
        """LISTEN follows the target's port when it has exactly one."""
        name = PREFIX + own + "LISTEN"
        if fields["listen"] is None and name not in self.env and fields["target"] is not None:
            default = default_listen(fields["target"])
            if default is None:
                self.fault(name, "is required when pods may listen on different ports")
                return
            fields["listen"] = (default,)
            self._show_instead(Row(name, str(default), DEFAULT))

    def check(self, services: list[dict[str, Any]], shared: dict[str, Any], checks: Checks) -> None:
        for field, problem_of in checks.items():
            for fields in services if field in SERVICE_FIELDS else [shared | {"prefix": ""}]:
                name = self._set_by(fields["prefix"], field)
                if name and fields[field] is not None and (problem := problem_of(fields[field])):
                    self.fault(name, problem)

    def settle_limits(self, own: str, fields: dict[str, Any]) -> None:
        """No value cuts another one short unseen: where both are set that is a fault, a default gives way."""
        for field, limit in AT_MOST.items():
            value, most = fields.get(field), fields.get(limit)
            if value is None or most is None or value <= most or (limit in CAPS and not most):
                continue
            name, its = self._set_by(own, field), self._set_by(own, limit)
            if name and its:
                self.fault(name, f"is {'more' if limit in CAPS else 'longer'} than {its}={self.env[its]}")
            elif name and limit in NEVER_RAISED:
                its = f"{PREFIX}{variable(limit)}"
                self.fault(name, f"is longer than {its}, by default {FIELDS[limit].default}: set that, too")
            else:
                yielding, follows = (limit, field) if name else (field, limit)
                fields[yielding] = fields[follows]
                shown = FIELDS[yielding].kind.show(fields[yielding])
                self._show_instead(
                    Row(PREFIX + own + variable(yielding), shown, f"default, as {name or its}")
                )

    def _set_by(self, own: str, field: str) -> str:
        """The variable that sets this field of a service, if any does."""
        names = [PREFIX + own + variable(field), PREFIX + variable(field)]
        return next((name for name in names if name in self.env), "")

    def _show_instead(self, new: Row) -> None:
        self.rows = [new if row.variable == new.variable else row for row in self.rows]

    def refuse_unknown(self) -> None:
        """Names are in capitals; any other that begins so is somebody else's."""
        for name in sorted(self.env):
            right = name.upper()
            if name != right and right in self.known and right.startswith(PREFIX):
                self.fault(name, f"is not a setting; did you mean {right}?")
                continue
            if not name.startswith(PREFIX) or name in self.known:
                continue
            rest = name.removeprefix(PREFIX)
            whole = [rest.removeprefix(own) for own in self.prefixes if rest.startswith(own)]
            if self.prefixes and rest in OF_ONE_SERVICE:
                self.fault(name, f"needs a service's name: {PREFIX}{self.prefixes[0]}{rest}")
            elif whole and PREFIX + whole[0] in self.known:
                self.fault(name, f"is for the whole process: set {PREFIX}{whole[0]}")
            else:
                names = sorted({each.removeprefix(PREFIX) for each in self.known})
                self.fault(name, "is not a setting" + nearest(rest.upper(), names, PREFIX))

    def refuse_idle(self, services: list[dict[str, Any]], shared: dict[str, Any]) -> None:
        """No setting that none of the services it is for makes use of."""
        for field, (other, values) in NEEDS.items():
            those = services if field in SERVICE_FIELDS else [shared | {"prefix": ""}]
            used = {self._set_by(each["prefix"], field) for each in those if word_of(each[other]) in values}
            for each in those:
                name = self._set_by(each["prefix"], field)
                if name and name not in used and each[other] is not None:
                    problem = f"means nothing without {variable(other)}={' or '.join(values)}"
                    wrong = self._take_fault(name)  # one line for one variable, that says all
                    self.fault(name, f"{wrong}; and it {problem}" if wrong else problem)

    def refuse_clashes(self, services: list[dict[str, Any]], shared: dict[str, Any]) -> None:
        """No two listeners on one address, and no service that dials itself."""
        pages = {name: shared[name.lower()] for name in ("TELEMETRY_LISTEN", "ADMIN_LISTEN")}
        wanted: dict[str, tuple[Listen, ...]] = {
            name: (listen,) for name, listen in pages.items() if listen is not None
        }
        for fields in services:
            own, listens, target = fields["prefix"], fields["listen"] or (), fields["target"]
            wanted[own + "LISTEN"] = listens
            if target is not None and (back := leads_back(target, listens)) is not None:
                problem = f"leads back to {back.where}, where this service itself listens"
                self.fault(PREFIX + own + "TARGET", f"{problem}; choose another {PREFIX}{own}LISTEN")
        for name, listen, other, its in taken_twice(wanted):
            self.fault(
                PREFIX + name,
                f"{listen.where} is taken by {PREFIX}{other} ({its.where}); choose another",
            )
