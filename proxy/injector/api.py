"""Speaks to the cluster's API server as the pod's service account."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from proxy.errors import HeadwayError

ANSWER_WITHIN_S = 10.0
TOKEN, AUTHORITY = "token", "ca.crt"  # in the service account's directory
SHOWN = 300  # characters of an answer that nobody expected


class ApiError(HeadwayError):
    """The API server could not be asked, or said no; `status` is 0 when it said nothing."""

    reason = "api_server"

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_missing(self) -> bool:
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_conflict(self) -> bool:
        """Somebody else was there first."""
        return self.status == HTTPStatus.CONFLICT


class Place(msgspec.Struct, frozen=True):
    """Where the injector's things are in the cluster. `webhook`: the MutatingWebhookConfiguration."""

    url: str
    account: Path  # the directory with the service account's token and the cluster's authority
    namespace: str
    secret: str
    service: str
    webhook: str

    @property
    def names(self) -> list[str]:
        """What the API server may call the Service."""
        return [f"{self.service}.{self.namespace}.svc", f"{self.service}.{self.namespace}.svc.cluster.local"]


class Api:
    """Questions to one API server."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account: Path) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._account = account

    async def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """What the API server answers. Raises ApiError."""
        try:
            # Read for each question: the kubelet exchanges the token long before it ends.
            headers = {"Authorization": f"Bearer {(self._account / TOKEN).read_text().strip()}"}
            data = None
            if body is not None:
                headers["Content-Type"] = kind
                data = msgspec.json.encode(body)
            async with self._session.request(
                method, self._url + path, data=data, headers=headers, allow_redirects=False
            ) as response:
                return _understood(response.status, await response.read())
        except ApiError as error:
            raise ApiError(f"{method} {path}: {error}", error.status) from None
        except (OSError, TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise ApiError(f"{method} {path}: {str(error) or type(error).__name__}") from error


@asynccontextmanager
async def opened(url: str, account: Path) -> AsyncIterator[Api]:
    """An Api for a few questions; the cluster's authority is read anew each time. Raises ApiError."""
    try:
        trust = ssl.create_default_context(cafile=str(account / AUTHORITY))
    except (OSError, ValueError) as error:
        raise ApiError(f"no certificate authority of the cluster in {account}: {error}") from error
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust), timeout=timeout) as session:
        yield Api(session, url, account)


def _understood(status: int, body: bytes) -> Any:
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise ApiError(f"{status} {_message(body)}", status)
    return msgspec.json.decode(body)


def _message(body: bytes) -> str:
    """What a Status object says, or the beginning of whatever else it is."""
    try:
        return str(msgspec.json.decode(body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return body[:SHOWN].decode(errors="replace")
