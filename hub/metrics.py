"""The meters, in the Prometheus text format at ``/metrics``. Each process has its own."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Requests by route template, latency, bytes in and out, uploads by door, commit conflicts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("hub_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry)
        self._seconds = Histogram("hub_request_seconds", "Time to answer, in seconds.", ("route",), buckets=BUCKETS, registry=self.registry)
        self._in = Counter("hub_received_bytes", "Bytes of request bodies.", registry=self.registry)
        self._out = Counter("hub_sent_bytes", "Bytes of answers' bodies.", registry=self.registry)
        self.uploads = Counter("hub_uploads", "Files and xorbs that arrived, by door.", ("door",), registry=self.registry)
        self.upload_bytes = Counter("hub_upload_bytes", "Bytes that arrived, by door.", ("door",), registry=self.registry)
        self._conflicts = Counter("hub_commit_conflicts", "Commits done again because another came first.", registry=self.registry)
        self._conflicts_told = 0
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request(self, method: str, route: str, status: int, *, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """Record one answered request."""
        known = self._known.get((method, route, status))
        if known is None:
            known = self._requests.labels(method, route, str(status)), self._seconds.labels(route)
            self._known[method, route, status] = known
        known[0].inc()
        known[1].observe(seconds)
        if bytes_in:
            self._in.inc(bytes_in)
        self._out.inc(bytes_out)

    def text(self, conflicts: int) -> bytes:
        """All meters in the Prometheus text format; ``conflicts`` is how many commits were done again since the start."""
        self._conflicts.inc(conflicts - self._conflicts_told)
        self._conflicts_told = conflicts
        return generate_latest(self.registry)
