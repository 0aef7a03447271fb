"""Two small HTTP servers: telemetry for the kubelet and Prometheus, admin for people in the pod."""

import mimetypes

mimetypes.knownfiles.clear()  # aiohttp reads them as it is imported: 0.4 MiB for files that nobody serves
