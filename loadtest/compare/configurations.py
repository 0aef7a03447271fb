"""Writes what nginx, HAProxy and Envoy are configured with. Knows no processes.

All do the same job as Headway does by default: one thread, the same pods, the one with the fewest connections
next, TCP checks every 5 s where there are any (nginx has none), up to 3 pods tried with 1 s each, an hour of
idleness, keepalive after 30 s on both sides, half-closed connections served to their end, no log of them,
as many connections as there are descriptors for. Buffers and all else are as they come.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.model import Address

STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")  # Debian; elsewhere it is built in
ENVOY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
SOL_SOCKET, SO_KEEPALIVE, IPPROTO_TCP, TCP_KEEPIDLE = 1, 9, 6, 4  # as numbers: Envoy wants them so
BESIDES = 250  # descriptors that are no connections


@dataclass(frozen=True)
class Job:
    """What a proxy is to do."""

    port: int  # on 127.0.0.1
    pods: tuple[Address, ...]
    descriptors: int
    directory: Path  # for its files

    @property
    def connections(self) -> int:
        return (self.descriptors - BESIDES) // 2


def haproxy(job: Job) -> str:
    servers = "\n".join(
        f"    server pod{number} {ip}:{port} check" for number, (ip, port) in enumerate(job.pods)
    )
    return f"""\
global
    nbthread 1
    maxconn {job.connections}

defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout check 1s
    retries 2
    option redispatch 1
    option clitcpka
    option srvtcpka
    clitcpka-idle 30s
    srvtcpka-idle 30s

listen pods
    bind 127.0.0.1:{job.port}
    balance leastconn
    default-server inter 5s
{servers}
"""


def nginx(job: Job) -> str:
    servers = "\n".join(f"        server {ip}:{port};" for ip, port in job.pods)
    return f"""\
{f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""}
{_nginx_process(job.directory / "proxy.pid", job.descriptors, workers=1)}
stream {{
    upstream pods {{
        least_conn;
{servers}
    }}
    server {{
        listen 127.0.0.1:{job.port} so_keepalive=30s::;
        proxy_pass pods;
        proxy_connect_timeout 1s;
        proxy_next_upstream_tries 3;
        proxy_timeout 1h;
        proxy_socket_keepalive on;
        proxy_half_close on;
    }}
}}
"""


def envoy(job: Job) -> str:
    listener = {
        "address": _socket_address(Address("127.0.0.1", job.port)),
        "socket_options": [
            {"level": SOL_SOCKET, "name": SO_KEEPALIVE, "int_value": 1},
            {"level": IPPROTO_TCP, "name": TCP_KEEPIDLE, "int_value": 30},
        ],
        "filter_chains": [{"filters": [{"name": "tcp_proxy", "typed_config": _envoy_proxy()}]}],
    }
    static = {"listeners": [listener], "clusters": [_envoy_cluster(job)]}
    return json.dumps({"static_resources": static}, indent=2)


def _envoy_proxy() -> dict[str, Any]:
    return {
        "@type": ENVOY,
        "stat_prefix": "pods",
        "cluster": "pods",
        "idle_timeout": "3600s",
        "max_connect_attempts": 3,
    }


def _envoy_cluster(job: Job) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _socket_address(pod)}} for pod in job.pods]
    check = {"timeout": "1s", "interval": "5s", "unhealthy_threshold": 3, "healthy_threshold": 2}
    return {
        "name": "pods",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "pods", "endpoints": [{"lb_endpoints": endpoints}]},
        "health_checks": [{**check, "tcp_health_check": {}}],
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30}},
        # It would stop at 1,024 connections.
        "circuit_breakers": {"thresholds": [{"max_connections": job.connections}]},
    }


def _socket_address(at: Address) -> dict[str, Any]:
    return {"socket_address": {"address": at.ip, "port_value": at.port}}


def backends(port: int, directory: Path, workers: int, descriptors: int) -> str:
    """Every loopback address is a pod: small replies at /, a file of some size at /bulk."""
    unused = "\n".join(
        f"    {kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
{_nginx_process(directory / "backends.pid", descriptors, workers)}
http {{
{unused}
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    sendfile on;
    server {{
        listen {port} reuseport backlog=4096;
        allow 127.0.0.0/8;
        deny all;
        location = / {{ return 200 "{"pod " * 16}"; }}
        location = /bulk {{ root {directory}; }}
    }}
}}
"""


def _nginx_process(pid_file: Path, descriptors: int, workers: int) -> str:
    return f"""\
daemon off;
pid {pid_file};
error_log stderr error;
worker_processes {workers};
worker_rlimit_nofile {descriptors};
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections {descriptors}; }}"""
