"""A collector of OpenTelemetry spans (OTLP over HTTP), as small as a test needs."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


@dataclass(frozen=True, slots=True)
class Span:
    """Identifiers in hexadecimal; `parent` is empty for the first of a trace."""

    service: str
    name: str
    trace: str
    id: str
    parent: str


@dataclass
class Collector:
    """What arrived so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def wait_for(self, *services: str, timeout_s: float = 30) -> list[Span]:
        """All spans, as soon as each of `services` has sent one."""
        deadline = time.monotonic() + timeout_s
        while not set(services) <= {span.service for span in self.spans}:
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.1)
        return list(self.spans)

    def add(self, body: bytes, kind: str) -> None:
        """The Python exporter sends protobuf, Triton's JSON (OTLP's, with hexadecimal identifiers)."""
        if kind == "application/json":
            for resource in json.loads(body)["resourceSpans"]:
                names = {a["key"]: a["value"].get("stringValue", "") for a in resource["resource"]["attributes"]}
                for span in [span for scope in resource["scopeSpans"] for span in scope["spans"]]:
                    ids = (span["traceId"], span["spanId"], span.get("parentSpanId", ""))
                    self.spans.append(Span(names["service.name"], span["name"], *ids))
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for span in [span for scope in resource.scope_spans for span in scope.spans]:
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(Span(names["service.name"], span.name, *ids))


@contextmanager
def collecting() -> Iterator[Collector]:
    """A running collector."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            collector.add(plain, self.headers["Content-Type"])
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
