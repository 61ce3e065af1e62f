/** Skein's tracing channels as OpenTelemetry spans and metrics. Needs the package `@opentelemetry/api`, and an SDK that exports. */
import { subscribe, tracingChannel, unsubscribe } from "node:diagnostics_channel";
import type { MeterProvider, TracerProvider } from "@opentelemetry/api";
import type { TracedWork } from "../kernel/traced-work.ts";
import { scopeOf } from "../manager/spawn-trace.ts";
import type { ThreadManager } from "../manager/thread-manager.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { VERSION } from "../version.ts";
import { type Api, loadApi } from "./api.ts";
import { Metrics } from "./metrics.ts";
import { SpanBook } from "./span-book.ts";
import { Subjects } from "./subjects.ts";

/** Where spans and metrics go, and whether they hold what is said. */
export type InstrumentOptions = {
  /** By default the one that is registered with the API. */
  readonly tracerProvider?: TracerProvider;
  /** By default the one that is registered with the API. */
  readonly meterProvider?: MeterProvider;
  /**
   * Whether spans hold what users, models and tools say, and the words of errors, which may quote it. What looks like a secret
   * is left out in any case. Default false.
   */
  readonly recordContent?: boolean;
};

/** Ends the instrumentation: nothing is watched any more, and open spans are ended. */
export interface Instrumentation extends Disposable {
  dispose(): void;
}

/**
 * Turns what threads do into spans and metrics with the names of the GenAI semantic conventions: `invoke_agent` for a turn,
 * `chat` for a model request, `execute_tool` for a call, `create_agent` for a thread; token usage and durations. Watches all
 * managers of the process, or one.
 *
 * A turn is a child of the span that is active where its input was submitted; one that another turn has caused (an agent's)
 * is a trace of its own with a link to it, and a fork's has one to its source. Tools and model clients run with their span
 * active, where a context manager is registered; MCP servers get it in `_meta`, where a propagator is.
 *
 * @throws InvalidRequestError without `@opentelemetry/api`, or for unknown options
 */
export function instrument(manager: ThreadManager, options?: InstrumentOptions): Instrumentation;
/** As above, for all managers of the process. */
export function instrument(options?: InstrumentOptions): Instrumentation;
export function instrument(
  first: ThreadManager | InstrumentOptions = {},
  second: InstrumentOptions = {},
): Instrumentation {
  const scope = scopeOf(first);
  const manager = scope === undefined ? undefined : (first as ThreadManager);
  const options = scope === undefined ? (first as InstrumentOptions) : second;
  checkOptions(options);
  const api = loadApi();
  const { tracerProvider = api.trace.getTracerProvider(), meterProvider = api.metrics.getMeterProvider() } = options;
  const recordsContent = options.recordContent === true;
  const spans = new SpanBook(api, tracerProvider.getTracer("skein", VERSION), recordsContent);
  const metrics = new Metrics(meterProvider.getMeter("skein", VERSION));
  const subjects = new Subjects(api, spans, metrics, { recordsContent });
  const ends = watch(subjects, { api, scope });
  if (manager !== undefined) ends.push(metrics.observe(() => manager.capacity()));
  const dispose = () => {
    for (const end of ends.splice(0)) end();
    spans.close();
  };
  return { dispose, [Symbol.dispose]: dispose };
}

const OPTIONS: ReadonlySet<string> = new Set(["tracerProvider", "meterProvider", "recordContent"]);

function checkOptions(options: object): void {
  const unknown = Object.keys(options).find((name) => !OPTIONS.has(name));
  if (unknown === undefined) return;
  throw new InvalidRequestError(`instrument: unknown option \`${unknown}\`; there are ${[...OPTIONS].join(", ")}`);
}

type Watching = { readonly api: Api; readonly scope: object | undefined };

/** @returns what ends each subscription */
function watch(subjects: Subjects, watching: Watching): (() => void)[] {
  return [
    work("skein:spawn", watching, subjects.spawnBegins.bind(subjects), subjects.spawnEnds.bind(subjects)),
    work("skein:turn", watching, subjects.turnBegins.bind(subjects), subjects.turnEnds.bind(subjects)),
    work("skein:model-request", watching, subjects.modelBegins.bind(subjects), subjects.modelEnds.bind(subjects)),
    work("skein:tool", watching, subjects.toolBegins.bind(subjects), subjects.toolEnds.bind(subjects)),
    work("skein:approval", watching, subjects.approvalBegins.bind(subjects), subjects.approvalEnds.bind(subjects)),
    work(
      "skein:store-write",
      watching,
      subjects.storeWriteBegins.bind(subjects),
      subjects.storeWriteEnds.bind(subjects),
    ),
    work("skein:slot", watching, subjects.slotBegins.bind(subjects), subjects.slotEnds.bind(subjects)),
    work("skein:lease", watching, subjects.leaseBegins.bind(subjects), subjects.leaseEnds.bind(subjects)),
    notice("skein:submit", watching, subjects.submitted.bind(subjects)),
    notice("skein:mcp-request", watching, subjects.mcpRequested.bind(subjects)),
  ];
}

const nothing = (): void => undefined;

function work<Facts extends TracedWork>(
  name: string,
  watching: Watching,
  begins: (facts: Facts) => void,
  ends: (facts: Facts) => void,
): () => void {
  const channel = tracingChannel<object>(name);
  const subscribers = {
    start: safely(watching, begins),
    end: nothing,
    asyncStart: nothing,
    asyncEnd: safely(watching, ends),
    error: nothing,
  };
  channel.subscribe(subscribers);
  return () => channel.unsubscribe(subscribers);
}

function notice<Facts extends { readonly scope: object }>(
  name: string,
  watching: Watching,
  tell: (facts: Facts) => void,
): () => void {
  const heed = safely(watching, tell);
  const listener = (message: unknown) => heed(message as Facts);
  subscribe(name, listener);
  return () => unsubscribe(name, listener);
}

/**
 * What is watched goes on whatever the watcher's mistakes: an error in a subscriber would end the process. Only Skein publishes
 * on these channels, so a message is what the channel's name says.
 */
const safely =
  <Facts extends { readonly scope: object }>({ api, scope }: Watching, tell: (facts: Facts) => void) =>
  (message: object): void => {
    const facts = message as Facts;
    if (scope !== undefined && facts.scope !== scope) return;
    try {
      tell(facts);
    } catch (error) {
      api.diag.error("skein: what happened could not be told", error);
    }
  };
