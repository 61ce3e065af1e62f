/** The spans that are open, by the work that they stand for, and what later spans hang on. */
import type { Attributes, Context, Link, Span, SpanContext, SpanKind, Tracer } from "@opentelemetry/api";
import { LRUCache } from "lru-cache";
import type { TracedWork } from "../kernel/traced-work.ts";
import type { Api } from "./api.ts";
import type { Failure } from "./failure.ts";
import { ERROR_TYPE } from "./names.ts";

/** So many submissions, threads and turns are remembered whose next span has not begun. */
const REMEMBERED = 10_000;

/** Of no trace: what stands under it begins one. */
const INVALID: SpanContext = { traceId: "0".repeat(32), spanId: "0".repeat(16), traceFlags: 0 };

type Open = { readonly span: Span; readonly begun: number; readonly key: string };

export type Beginning = {
  readonly name: string;
  readonly kind: SpanKind;
  /** By which others find it: see {@link SpanBook.at}. */
  readonly key: string;
  readonly attributes: Attributes;
  readonly parent: Context;
  readonly links?: readonly Link[];
};

/** Of all books: who watches twice has spans of two in one context. */
const spansOfTurns = new WeakSet<Span>();

export class SpanBook {
  readonly #api: Api;
  /** Under which a context holds the span of this book that it is in; the API's own keys are one for all books. */
  readonly #own = Symbol("skein.span");
  readonly #tracer: Tracer;
  readonly #recordsWords: boolean;
  readonly #open = new Map<TracedWork, Open>();
  readonly #byKey = new Map<string, Span>();
  /** Where a submission came from, until its turn begins. */
  readonly asked = new LRUCache<string, Context>({ max: REMEMBERED });
  /** The spawn of a thread, until its first turn begins. */
  readonly born = new LRUCache<string, SpanContext>({ max: REMEMBERED });
  /** The last turn of a thread. */
  readonly lastTurns = new LRUCache<string, { readonly turnId: string; readonly context: SpanContext }>({
    max: REMEMBERED,
  });
  /** What agents are called. */
  readonly names = new LRUCache<string, string>({ max: REMEMBERED });

  constructor(api: Api, tracer: Tracer, recordsWords: boolean) {
    this.#api = api;
    this.#tracer = tracer;
    this.#recordsWords = recordsWords;
  }

  begin(work: TracedWork, { name, kind, key, attributes, parent, links = [] }: Beginning): Span {
    const { trace, context } = this.#api;
    const options = { kind, attributes, links: [...links] };
    const started = this.#guarded(() => this.#tracer.startSpan(name, options, parent));
    const span = started ?? trace.wrapSpanContext(INVALID);
    spansOfTurns.add(span);
    this.#open.set(work, { span, begun: performance.now(), key });
    this.#byKey.set(key, span);
    const enter = (from: Context) => trace.setSpan(from, span).setValue(this.#own, span);
    const others = work.within;
    work.within = (inner) =>
      others === undefined
        ? context.with(enter(parent), inner)
        : others(() => context.with(enter(context.active()), inner));
    return span;
  }

  /** What an exporter throws is no matter of the work's, nor of the metrics. */
  #guarded<T>(tell: () => T): T | undefined {
    try {
      return tell();
    } catch (error) {
      this.#api.diag.error("skein: a span could not be told", error);
      return undefined;
    }
  }

  /** @returns how long the work took, in seconds; undefined for work whose beginning was not seen */
  end(work: TracedWork, attributes: Attributes, failure: Failure | undefined): number | undefined {
    const open = this.#open.get(work);
    if (open === undefined) return undefined;
    const { span, begun, key } = open;
    this.#open.delete(work);
    if (this.#byKey.get(key) === span) this.#byKey.delete(key);
    this.#guarded(() => {
      span.setAttributes(attributes);
      if (failure !== undefined) this.#fail(span, failure);
      span.end();
    });
    return (performance.now() - begun) / 1000;
  }

  /** The words of an error may quote a conversation. */
  #fail(span: Span, { type, message }: Failure): void {
    const said = this.#recordsWords && message !== undefined ? { message } : {};
    span.setAttribute(ERROR_TYPE, type);
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR, ...said });
  }

  spanOf(work: TracedWork): Span | undefined {
    return this.#open.get(work)?.span;
  }

  /** The open span of one of some keys, the first that there is. */
  at(...keys: readonly string[]): Span | undefined {
    for (const key of keys) {
      const span = this.#byKey.get(key);
      if (span !== undefined) return span;
    }
    return undefined;
  }

  /** The context of an open span; what is active now where none of the keys has one. */
  under(...keys: readonly string[]): Context {
    const { trace, context } = this.#api;
    const span = this.at(...keys);
    return span === undefined ? this.here() : trace.setSpan(context.active(), span);
  }

  /** What is active, in the span of this book where there is one. */
  here(): Context {
    const { trace, context } = this.#api;
    const active = context.active();
    const own = this.ownIn(active);
    return own === undefined ? active : trace.setSpan(active, own);
  }

  /** Whether the context's span is one of a turn's, so that it would put one turn under another. */
  isOfTurn(context: Context): boolean {
    const span = this.#api.trace.getSpan(context);
    return span !== undefined && spansOfTurns.has(span);
  }

  /** The span of this book that the context is right in. */
  ownIn(context: Context): Span | undefined {
    return this.isOfTurn(context) ? (context.getValue(this.#own) as Span | undefined) : undefined;
  }

  /** Ends all spans: nobody will tell of their ends. */
  close(): void {
    for (const { span } of this.#open.values()) this.#guarded(() => span.end());
    this.#open.clear();
    this.#byKey.clear();
  }
}
