/** OpenTelemetry with exporters in memory, and ways to read what they got. */
import type { TestContext } from "node:test";
import {
  type Attributes,
  type Context,
  context,
  propagation,
  type TextMapPropagator,
  type TextMapSetter,
  trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

/** The part of W3C's propagator that goes out. */
const traceparent: TextMapPropagator = {
  inject: (from: Context, carrier: unknown, setter: TextMapSetter<unknown>) => {
    const span = trace.getSpanContext(from);
    if (span !== undefined) setter.set(carrier, "traceparent", `00-${span.traceId}-${span.spanId}-01`);
  },
  extract: (from) => from,
  fields: () => ["traceparent"],
};

export type Recorder = {
  readonly tracerProvider: TracerProvider;
  readonly meterProvider: MeterProvider;
  /** Finished spans, in the order of their ends. */
  spans(): ReadableSpan[];
  /** The one finished span of this name. */
  span(name: string): ReadableSpan;
  /** Names of finished spans under one another: `["a", ["b", "c"]]`. */
  tree(): string[];
  /** How often each histogram was recorded, by name; values with their attributes. */
  metrics(): Promise<Record<string, { attributes: Attributes; value: unknown }[]>>;
};

export function recorder(t: TestContext): Recorder {
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 3_600_000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(traceparent);
  t.after(async () => {
    context.disable();
    propagation.disable();
    await tracerProvider.shutdown();
    await meterProvider.shutdown();
  });
  const spans = () => exporter.getFinishedSpans();
  return {
    tracerProvider,
    meterProvider,
    spans,
    span: (name) => {
      const found = spans().filter((span) => span.name === name);
      if (found.length !== 1)
        throw new Error(`${found.length} spans are called ${name}: ${spans().map((s) => s.name)}`);
      return found[0] as ReadableSpan;
    },
    tree: () => treeOf(spans()),
    metrics: async () => {
      await meterProvider.forceFlush();
      const all =
        metricExporter
          .getMetrics()
          .at(-1)
          ?.scopeMetrics.flatMap(({ metrics }) => metrics) ?? [];
      return Object.fromEntries(
        all.map(({ descriptor, dataPoints }) => [
          descriptor.name,
          dataPoints.map(({ attributes, value }) => ({ attributes, value })),
        ]),
      );
    },
  };
}

/** One line for each root with all below it, in the order of their beginnings: `a(b c(d))`. */
function treeOf(spans: readonly ReadableSpan[]): string[] {
  const begun = ({ startTime: [s, ns] }: ReadableSpan) => s * 1e9 + ns;
  const under = (id: string | undefined): ReadableSpan[] =>
    spans
      .filter(({ parentSpanContext: parent }) =>
        id === undefined ? !spans.some((one) => one.spanContext().spanId === parent?.spanId) : parent?.spanId === id,
      )
      .sort((a, b) => begun(a) - begun(b));
  const text = (span: ReadableSpan): string => {
    const inner = under(span.spanContext().spanId).map(text);
    return inner.length === 0 ? span.name : `${span.name}(${inner.join(", ")})`;
  };
  return under(undefined).map(text);
}
