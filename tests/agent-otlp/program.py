"""A program that is instrumented with OpenTelemetry's own SDK for Python, whose exporter speaks protobuf."""
import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

provider = TracerProvider(resource=Resource.create({"service.name": "python program"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("python program", "1.0.0")
context = None
if os.environ.get("HONOURS_CONTEXT") == "1":
    context = TraceContextTextMapPropagator().extract({"traceparent": os.environ["TRACEPARENT"]})
with tracer.start_as_current_span("python program", context=context):
    with tracer.start_as_current_span("python step"):
        pass
provider.shutdown()
print("sent")
