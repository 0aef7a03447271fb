"""A whole headless Service on loopback: DNS server, pods, the real proxy, load, and a story with failures.

Importing this costs nothing: tests take `proxy.demo.dns` alone, a pod process takes `proxy.demo.pod` alone.
"""


def run(pods: int = 6, seconds: float = 15.0, balancer: str = "p2c", as_json: bool = False) -> int:
    """Play the demo; returns the exit status: 0 nothing lost, 1 lost or not started, 2 used wrongly."""
    from proxy.demo import stage

    return stage.run(pods, seconds, balancer, as_json)
