"""Builds the native relay. Where that cannot be, the rest is installed, and asyncio's relay does the work."""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("proxy/datapath/native")
SOURCES = "_relay.pyx", "relay.c", "worker.c", "wait.c", "pair.c", "move.c", "age.c", "connect.c", "wheel.c"

setup(
    ext_modules=[
        Extension(
            "proxy.datapath.native._relay",
            [f"{NATIVE}/{name}" for name in SOURCES],
            depends=sorted(map(str, NATIVE.glob("*.h"))),
            extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ]
)
