"""Knows what we look at in a review. Whatever is null in an object was left out by whoever made it."""

from typing import Any

import msgspec


class Kind(msgspec.Struct):
    kind: str
    version: str
    group: str = ""


class Request(msgspec.Struct, rename="camel"):
    uid: str
    kind: Kind
    operation: str
    namespace: str = ""
    name: str = ""
    sub_resource: str = ""
    dry_run: bool | None = False
    object: msgspec.Raw = msgspec.Raw(b"null")  # null when something is deleted
    old_object: msgspec.Raw = msgspec.Raw(b"null")


class Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: Request


class Metadata(msgspec.Struct, rename="camel"):
    name: str | None = None
    generate_name: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[Any] | None = None


class Port(msgspec.Struct, rename="camel"):
    container_port: int


class Container(msgspec.Struct):
    name: str
    ports: list[Port] | None = None


class Spec(msgspec.Struct, rename="camel"):
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None


class Pod(msgspec.Struct):
    metadata: Metadata | None = None
    spec: Spec | None = None
