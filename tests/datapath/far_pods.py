"""Pods 30 ms away, behind a network device of their own: on loopback a pod's kernel answers at once.

`python -m tests.datapath.far_pods PID`; a byte on its input stops process PID for half a second, its end ends
everything. With milliseconds behind PID all their packets take so long, not just those that accept.
"""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time

NETWORK = "10.213.77"
AWAY_S, STOPPED_S = 0.03, 0.5
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def open_device() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"headway-far", IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "addr", "add", f"{NETWORK}.1/24", "dev", "headway-far"], check=True)
    subprocess.run(["ip", "link", "set", "headway-far", "up"], check=True)
    return device


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return int(~total & 0xFFFF)


def segment(
    source: bytes, target: bytes, ports: tuple[int, int], seq: int, ack: int, flags: int, data: bytes = b""
) -> bytes:
    """An IPv4 packet with a TCP segment (RFC 791, RFC 9293)."""
    tcp = struct.pack("!HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, 65535, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(tcp) + len(data))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp + data)) + tcp[18:] + data
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, source, target)
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def answer(packet: bytes) -> tuple[float, bytes] | None:
    """What a pod says to it, and how much later: it accepts, says "x" to the first bytes, and ends."""
    head = (packet[0] & 15) * 4
    if packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    us, pod = packet[12:16], packet[16:20]
    port, pods_port, seq, ack, offset, flags = struct.unpack("!HHIIBB", packet[head : head + 14])
    size = struct.unpack("!H", packet[2:4])[0] - head - (offset >> 4) * 4
    back = pod, us, (pods_port, port)
    if flags & RST:
        return None
    if flags & SYN:
        return AWAY_S, segment(*back, 1000, seq + 1, SYN | ACK)
    if size:
        return 0.0, segment(*back, ack, seq + size, FIN | PSH | ACK, b"x")
    return (0.0, segment(*back, ack, seq + 1, ACK)) if flags & FIN else None


def stop(pid: int) -> None:
    if os.fork() == 0:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        os.kill(pid, signal.SIGCONT)
        os._exit(0)


def main() -> None:
    device, pid = open_device(), int(sys.argv[1])
    away_s = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0
    print("up", flush=True)
    late: list[tuple[float, bytes]] = []
    while True:
        ready, _, _ = select.select(
            [device, 0], [], [], max(0.0, late[0][0] - time.monotonic()) if late else None
        )
        while late and late[0][0] <= time.monotonic():
            os.write(device, late.pop(0)[1])
        if 0 in ready:
            if not os.read(0, 1):
                return
            stop(pid)
        if device in ready and (said := answer(os.read(device, 1 << 16))):
            late.append((time.monotonic() + (away_s or said[0]), said[1]))
            late.sort()


if __name__ == "__main__":
    main()
