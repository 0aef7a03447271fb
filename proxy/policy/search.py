"""Decides which full names a short one may stand for, as resolv.conf(5) says. c-ares' query() does not."""

import msgspec

MAX_NDOTS = 15  # as glibc caps it


class SearchRules(msgspec.Struct, frozen=True):
    """`domains` in order; a name with at least `ndots` dots is first asked as it is."""

    domains: tuple[str, ...] = ()
    ndots: int = 1


def parse_resolv_conf(text: str) -> SearchRules:
    """The search rules in `text`; the last search or domain line wins, unknown lines are passed over."""
    domains: tuple[str, ...] = ()
    ndots = 1
    for line in text.splitlines():
        match line.split():
            case ["search" | "domain", *names]:
                domains = tuple(name.rstrip(".").lower() for name in names if name != ".")
            case ["options", *options]:
                for option in options:
                    key, _, value = option.partition(":")
                    if key == "ndots" and value.isdecimal():
                        ndots = min(int(value), MAX_NDOTS)
    return SearchRules(domains, ndots)


def candidates(host: str, rules: SearchRules) -> list[str]:
    """The full names to try for `host`, in order. A trailing dot means: this one and no other."""
    if host.endswith("."):
        return [host]
    searched = [f"{host}.{domain}." for domain in rules.domains]
    as_is = f"{host}."
    return [as_is, *searched] if host.count(".") >= rules.ndots else [*searched, as_is]
