"""OpenTelemetry traces: a span of each HTTP request, inside it one of the call to Triton, which continues it in its own spans.

Off unless `Settings.trace_endpoint` is set; without the SDK (extra `tracing`) the API's spans cost microseconds and go nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from opentelemetry import propagate, trace

from gateway.settings import Settings

SERVICE = "vultus-gateway"
UNTRACED = "healthz,readyz,metrics"


def install(app: Flask, settings: Settings) -> None:
    """Send spans of `app` to the configured collector (OTLP over HTTP). Raises RuntimeError when the extra is missing."""
    if not settings.trace_endpoint:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise RuntimeError("VULTUS_TRACE_ENDPOINT is set, but tracing is not installed: pip install 'vultus[tracing]'.") from None
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.trace_endpoint)))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app, tracer_provider=provider, excluded_urls=UNTRACED)  # type: ignore[no-untyped-call]


@contextmanager
def inference() -> Iterator[dict[str, str]]:
    """A span around one call to Triton. Yields the headers that make Triton's spans its children (W3C trace context)."""
    with trace.get_tracer("vultus").start_as_current_span("face_analysis/ModelInfer", kind=trace.SpanKind.CLIENT):
        headers: dict[str, str] = {}
        propagate.inject(headers)
        yield headers


def trace_id() -> str | None:
    """Of the current span, 32 hexadecimal digits; None when this request is not traced."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
