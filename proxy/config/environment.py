"""Reads the environment into frozen settings, or reports everything that is wrong with it at once."""

import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.config.settings import PROCESS_FIELDS, SERVICE_FIELDS, ServiceSettings, Setting, Settings, variable
from proxy.config.values import DnsTarget, Kind, Listen, StaticTarget, Target, nearest
from proxy.errors import Fault, SettingsError
from proxy.model import Address

PREFIX = "HEADWAY_"
DEFAULT = "default"
WITHOUT_PREFIX = frozenset({"POD_NAME", "POD_NAMESPACE"})  # as the downward API is usually written
OF_ONE_SERVICE = frozenset({"TARGET", "LISTEN"})  # two services cannot share these
SERVICE_NAME = re.compile(r"[a-z]([a-z0-9_-]*[a-z0-9])?")

# What Kubernetes sets in every pod for a Service that is itself called headway or headway-something.
LINK_NAME = re.compile(r"_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$")
LINK_VALUE = re.compile(r"(tcp|udp|sctp)(://\S+)?|[\d.]+|[\da-f:]+")


class Row(msgspec.Struct, frozen=True):
    """One effective setting as `headway check` prints it."""

    variable: str
    value: str
    origin: str


class Loaded(msgspec.Struct, frozen=True):
    settings: Settings
    rows: tuple[Row, ...]


def load() -> Loaded:
    """The settings of this process. Raises SettingsError."""
    return from_env(os.environ)


def from_env(env: Mapping[str, str]) -> Loaded:
    """The settings in `env`. Raises SettingsError with every fault in it."""
    reader = _Reader(env)
    names = reader.service_names()
    shared = {field: reader.read(setting, [variable(field)]) for field, setting in PROCESS_FIELDS.items()}
    services = [reader.service(name, several=PREFIX + "SERVICES" in env) for name in names]
    reader.refuse_unknown()
    reader.refuse_clashes(services, shared)
    if reader.faults:
        raise SettingsError(list(reader.faults.values()))
    built = tuple(ServiceSettings(**fields) for fields in services)
    return Loaded(Settings(services=built, **shared), tuple(reader.rows))


def _default_name(target: Target | None) -> str:
    """What a lone service is called in metrics and logs: the first label of its target."""
    return target.host.split(".")[0] if isinstance(target, DnsTarget) else "default"


def _default_listen(target: Target | None) -> Listen | None:
    match target:
        case DnsTarget(port=port):
            return Listen("127.0.0.1", port)
        case StaticTarget(addresses) if len({address.port for address in addresses}) == 1:
            return Listen("127.0.0.1", addresses[0].port)
    return None


class _Reader:
    """Walks over one environment and notes what is known, effective and wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.known = {PREFIX + "SERVICES"}
        self.rows: list[Row] = []
        self.faults: dict[str, Fault] = {}  # by text: a fallback that ten services share is one fault
        self.prefixes: list[str] = []

    def fault(self, name: str, problem: str) -> None:
        fault = Fault(name, self.env.get(name), problem)
        self.faults[str(fault)] = fault

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
        return names

    def service(self, name: str, *, several: bool) -> dict[str, Any]:
        """The fields of one service, each from its own variable, the plain one, or its default."""
        own = f"{name.upper().replace('-', '_')}_" if several else ""
        if several:
            self.prefixes.append(own)
        fields: dict[str, Any] = {}
        for field, setting in SERVICE_FIELDS.items():
            plain = variable(field)
            fallback = [] if plain in OF_ONE_SERVICE or not several else [plain]
            fields[field] = self.read(setting, [own + plain, *fallback])
        fields["dns_servers"] = fields["dns_servers"] or ()
        fields["name"] = name or _default_name(fields["target"])
        fields["prefix"] = own
        self._fill_listen(own, fields)
        return fields

    def read(self, setting: Setting, names: list[str]) -> Any:
        """The value of the first of `names` that is set, else the default; None if that is wrong too."""
        variables = [PREFIX + name for name in names]
        variables += [name for name in names if name in WITHOUT_PREFIX]
        if not self.known.isdisjoint(variables[:1]):
            self.fault(PREFIX + "SERVICES", f"has a name that makes {variables[0]} mean two things")
        self.known.update(variables)
        values = {name: self._parse(name, setting.kind) for name in variables if name in self.env}
        if values:
            origin, value = next(iter(values.items()))
            note = "environment" if origin == variables[0] else f"environment, {origin}"
        else:
            origin, note = variables[0], DEFAULT
            value = None if setting.default is None else setting.kind.parse(setting.default)
            if setting.shown == "required":
                self.fault(variables[0], f"is required: {setting.kind.allowed}")
        if origin not in self.env or value is not None:
            shown = setting.kind.show(value) if value is not None else setting.shown
            self.rows.append(Row(variables[0], shown, note))
        return value

    def _parse(self, name: str, kind: Kind[Any]) -> Any:
        text = self.env[name].strip()
        try:
            if not text:
                raise ValueError("is empty")
            return kind.parse(text)
        except ValueError as problem:
            self.fault(name, f"{problem}; allowed: {kind.allowed}")
            return None

    def _fill_listen(self, own: str, fields: dict[str, Any]) -> None:
        """LISTEN follows the target's port when it has exactly one."""
        name = PREFIX + own + "LISTEN"
        if fields["listen"] is None and name not in self.env and fields["target"] is not None:
            fields["listen"] = _default_listen(fields["target"])
            if fields["listen"] is None:
                self.fault(name, "is required when the pods' ports differ")
            self.rows = [
                Row(name, str(fields["listen"]), DEFAULT) if row.variable == name else row
                for row in self.rows
            ]

    def refuse_unknown(self) -> None:
        for name in sorted(self.env):
            if not name.startswith(PREFIX) or name in self.known or _is_service_link(name, self.env[name]):
                continue
            rest = name.removeprefix(PREFIX)
            whole = [rest.removeprefix(own) for own in self.prefixes if rest.startswith(own)]
            if self.prefixes and rest in OF_ONE_SERVICE:
                self.fault(name, f"needs a service's name: {PREFIX}{self.prefixes[0]}{rest}")
            elif whole and PREFIX + whole[0] in self.known:
                self.fault(name, f"is for the whole process: set {PREFIX}{whole[0]}")
            else:
                self.fault(name, "is not a setting" + nearest(name, sorted(self.known)))

    def refuse_clashes(self, services: list[dict[str, Any]], shared: dict[str, Any]) -> None:
        """No two listeners on one address, and no service that dials itself."""
        wanted = [("TELEMETRY_LISTEN", shared["telemetry_listen"]), ("ADMIN_LISTEN", shared["admin_listen"])]
        for own, fields in zip(self.prefixes or [""], services, strict=True):
            listen, target = fields["listen"], fields["target"]
            wanted.append((own + "LISTEN", listen))
            pods = target.addresses if isinstance(target, StaticTarget) else ()
            if listen is not None and Address(listen.host, listen.port) in pods:
                self.fault(PREFIX + own + "TARGET", f"contains {listen}, where this service itself listens")
        taken: dict[Listen, str] = {}
        for name, listen in wanted:
            if listen is None or (not listen.path and listen.port == 0):
                continue
            if listen in taken:
                self.fault(PREFIX + name, f"{listen} is also {PREFIX}{taken[listen]}: choose another port")
            taken[listen] = name


def _is_service_link(name: str, value: str) -> bool:
    return LINK_NAME.search(name) is not None and LINK_VALUE.fullmatch(value) is not None
