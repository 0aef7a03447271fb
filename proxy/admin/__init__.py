"""Two small HTTP servers: telemetry for the kubelet and Prometheus, admin for people in the pod."""
