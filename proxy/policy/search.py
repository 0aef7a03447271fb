"""Decides which full names a short one may stand for, as resolv.conf(5) says. c-ares' query() does not."""

from proxy.policy.resolv_conf import ResolvConf


def candidates(host: str, conf: ResolvConf) -> list[str]:
    """The full names to try for `host`, in order. A trailing dot means: this one and no other."""
    if host.endswith("."):
        return [host]
    searched = [f"{host}.{domain}." for domain in conf.domains]
    as_is = f"{host}."
    return [as_is, *searched] if host.count(".") >= conf.ndots else [*searched, as_is]
