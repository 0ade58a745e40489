// OpenTelemetry by hand, so that it can be seen whole: spans of pg-boss and of the routes, sent by OTLP over HTTP. With
// the automatic instrumentations of a real app, `serve` is theirs to do.

import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node'

// Reads OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_SERVICE_NAME by itself.
const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] })
provider.register()
const tracer = trace.getTracer('strawboss-example-node-app')

/** Runs a route within a span that continues the caller's trace. */
export function serve (name, headers, run) {
  const caller = propagation.extract(context.active(), headers)
  return tracer.startActiveSpan(name, { kind: SpanKind.SERVER }, caller, async span => {
    try {
      const answer = await run()
      span.setAttribute('http.response.status_code', answer[0])
      if (answer[0] >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      return answer
    } catch (error) {
      span.recordException(error)
      span.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      span.end()
    }
  })
}

export const stop = () => provider.shutdown()
