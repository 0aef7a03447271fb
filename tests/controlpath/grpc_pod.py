"""A real gRPC server, as a process of its own: `python -m tests.controlpath.grpc_pod` prints its two ports.

On the first it has a health service, which knows a few services by name, on the second it has none.
"""

import signal
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

STATUSES = {"": "SERVING", "orders": "SERVING", "users": "NOT_SERVING", "carts": "UNKNOWN"}


def main() -> None:
    with ThreadPoolExecutor(4) as threads:
        healthy, bare = grpc.server(threads), grpc.server(threads)
        servicer = health.HealthServicer()
        for name, status in STATUSES.items():
            servicer.set(name, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
        health_pb2_grpc.add_HealthServicer_to_server(servicer, healthy)
        print(*(server.add_insecure_port("127.0.0.1:0") for server in (healthy, bare)), flush=True)
        healthy.start()
        bare.start()
        signal.sigwait({signal.SIGTERM})
        for server in (healthy, bare):
            server.stop(None)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main()
