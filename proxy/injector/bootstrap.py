"""Keeps a self-signed certificate in a Secret for all replicas, and the webhook's caBundle true to it."""

import base64
import binascii
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy.injector.api import Api, ApiError, Place, opened
from proxy.injector.authority import Pair, issue, why_renew
from proxy.injector.certificates import CERTIFICATE, KEY, Calendar
from proxy.model import Rng

log = logging.getLogger("headway.injector")

LOOK_EVERY_S = 60.0
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 60.0
# Until every API server has heard of a new caBundle, the old certificate is served; they watch for it.
SPREAD_S = 5.0
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
AUTHORITIES = "ca.crt"  # cert-manager calls it so, too


class Bootstrap:
    """Does it again and again, for ever. `directory`: where the certificate is laid down to be served."""

    def __init__(
        self, place: Place, directory: Path, clock: Calendar, rng: Rng, failed: Callable[[], None]
    ) -> None:
        self._place = place
        self._directory = directory
        self._clock = clock
        self._rng = rng
        self._failed = failed
        self._served: Pair | None = None

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                await self.once()
                failures, pause_s = 0, LOOK_EVERY_S
            except ApiError as error:
                pause_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2**failures)
                failures = min(failures + 1, 10)
                if error.is_conflict:
                    log.info("another replica was first: %s; looking again in %g s", error, pause_s)
                else:
                    self._failed()
                    log.warning("the certificate is not looked after: %s; next try in %g s", error, pause_s)
            await self._clock.sleep(pause_s * (0.8 + 0.4 * self._rng.random()))

    async def once(self) -> None:
        """See to the Secret, the caBundle and the directory. Raises ApiError."""
        async with opened(self._place.url, self._place.account) as api:
            # First the configuration, then the Secret: what is known of the former, when it has not changed
            # until it is patched, is never newer than the latter, so that no replica takes a bundle back.
            configuration = await api.ask("GET", f"{CONFIGURATIONS}/{self._place.webhook}")
            pair = await self._current(api, _bundles(configuration))
            patched = await self._trust(api, configuration, pair)
        if pair == self._served:
            return
        if patched:
            await self._clock.sleep(SPREAD_S)
        _lay_down(self._directory, pair)
        self._served = pair

    async def _current(self, api: Api, trusted: list[bytes]) -> Pair:
        """The one in the Secret; where there is none or the next is due, whoever is first makes it.

        `trusted`: what other replicas may serve with, even if the Secret no longer knows of it.
        """
        secrets = f"/api/v1/namespaces/{self._place.namespace}/secrets"
        now = self._clock.date(self._clock.now())
        try:
            secret = await api.ask("GET", f"{secrets}/{self._place.secret}")
        except ApiError as error:
            if not error.is_missing:
                raise
            pair = issue(self._place.names, now, *trusted)
            await api.ask("POST", secrets, _secret(self._place.secret, pair))
            log.info("a certificate was made, and put into the Secret %s", self._place.secret)
            return pair
        pair = _pair(secret)
        if not (reason := why_renew(pair, self._place.names, now)):
            return pair
        pair = issue(self._place.names, now, pair.authorities, *trusted)
        # With the resourceVersion that was read: of two replicas that renew, one is told of a conflict.
        secret["data"] = _data(pair)
        await api.ask("PUT", f"{secrets}/{self._place.secret}", secret)
        log.info("the certificate was renewed: %s", reason)
        return pair

    async def _trust(self, api: Api, configuration: Any, pair: Pair) -> bool:
        """Make the API server trust the pair's authorities; whether that was news."""
        bundle = base64.b64encode(pair.authorities).decode()
        webhooks = _webhooks(configuration)
        if all(webhook["clientConfig"].get("caBundle") == bundle for webhook in webhooks):
            return False
        version = configuration["metadata"]["resourceVersion"]
        patch = {
            "metadata": {"resourceVersion": version},
            "webhooks": [
                {"name": webhook["name"], "clientConfig": {"caBundle": bundle}} for webhook in webhooks
            ],
        }
        path, kind = f"{CONFIGURATIONS}/{self._place.webhook}", "application/strategic-merge-patch+json"
        await api.ask("PATCH", path, patch, kind)
        log.info("the caBundle of %s was patched", self._place.webhook)
        return True


def _webhooks(configuration: Any) -> list[Any]:
    try:
        webhooks = [each for each in configuration["webhooks"] if each["clientConfig"] and each["name"]]
        configuration["metadata"]["resourceVersion"]
    except (KeyError, TypeError) as error:
        raise ApiError(f"the webhook configuration is not understood: {error!r}") from error
    return webhooks


def _bundles(configuration: Any) -> list[bytes]:
    """The caBundle of each webhook; none where there is none, or something else."""
    try:
        found = [webhook["clientConfig"].get("caBundle") or "" for webhook in _webhooks(configuration)]
        return [base64.b64decode(each) for each in found]
    except (AttributeError, TypeError, ValueError):
        return []


def _data(pair: Pair) -> dict[str, str]:
    parts = {AUTHORITIES: pair.authorities, CERTIFICATE: pair.certificate, KEY: pair.key}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def _secret(name: str, pair: Pair) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "headway-injector"}},
        "data": _data(pair),
    }


def _pair(secret: Any) -> Pair:
    """What a Secret holds; nothing, where somebody has emptied or mangled it: why_renew() finds that."""
    try:
        data = secret.get("data") or {}
        parts = [base64.b64decode(data.get(name, "")) for name in (AUTHORITIES, CERTIFICATE, KEY)]
    except (AttributeError, TypeError, binascii.Error):
        return Pair(b"", b"", b"")
    return Pair(*parts)


def _lay_down(directory: Path, pair: Pair) -> None:
    """The key first: a reader that comes in between finds two that do not fit, and comes again."""
    for name, part in ((KEY, pair.key), (CERTIFICATE, pair.certificate)):
        fresh = directory / f".{name}"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(part)
        fresh.replace(directory / name)
