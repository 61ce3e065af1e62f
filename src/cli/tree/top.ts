import * as z from "zod";
import { bytes, count } from "../../studio/page/words.ts";
import { Interruption } from "../interruption.ts";
import { columnsOf, drained, type Io, isTerminal } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Screen } from "../terminal/screen.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { fit, oneLine, padEnd, padStart } from "../terminal/text-width.ts";
import { type Line, type SourceOptions, withLine } from "./line.ts";
import { agoOf, MARKS, type Row, Rows, STYLES, titleOf } from "./rows.ts";

export type TopOptions = SourceOptions & { readonly lines: number };

const bound = z.object({ used: z.number(), max: z.number().nullable() });
const sampleSchema = z.object({
  t: z.number(),
  events: z.number(),
  tokens: z.object({ in: z.number(), out: z.number() }),
  turns: z.object({ ended: z.number() }),
  ttft: z.object({ p50: z.number().nullable(), p95: z.number().nullable() }),
  pending: z.number(),
  capacity: z.object({
    residentThreads: bound,
    runningTurns: bound.extend({ waiting: z.number() }),
    unloadedThreads: z.number(),
  }),
  eventLoop: z.number(),
  loopLag: z.object({ p99: z.number() }).nullable(),
  rss: z.number(),
});
type Sample = z.infer<typeof sampleSchema>;

/** Until it is interrupted; in a pipe once, after the first second. */
export async function showTop(options: TopOptions, io: Io): Promise<void> {
  using interruption = new Interruption();
  await withLine(options, io, (line) => watchTop(options, io, line, interruption.signal));
  await drained(io.stdout);
  interruption.throwIfInterrupted();
}

async function watchTop({ lines }: TopOptions, { stdout, env }: Io, line: Line, signal: AbortSignal): Promise<void> {
  const rows = new Rows();
  await rows.watch(line, () => undefined);
  using screen = isTerminal(stdout, env) ? new Screen(stdout) : undefined;
  const paint = paintFor(stdout);
  const once = Promise.withResolvers<void>();
  line.on(sampleSchema, "skein/metrics", (sample) => {
    const width = screen?.width ?? columnsOf(stdout);
    const most = screen === undefined ? lines : Math.max(1, screen.maxHeight - 3);
    const shown = [
      ...headOf(sample, width, paint),
      ...busiest(rows, most).map((row) => lineOf(row, sample.t, width, paint)),
    ];
    if (screen !== undefined) {
      screen.draw(shown);
      return;
    }
    const out = new LineWriter(stdout);
    for (const text of shown) out.line(text);
    out.flush();
    once.resolve();
  });
  await line.ask(z.unknown(), "skein/metrics/watch");
  const interrupted = new Promise((done) => signal.addEventListener("abort", done, { once: true }));
  await Promise.race([line.ended, interrupted, once.promise]);
}

const ORDER: Readonly<Record<Row["status"], number>> = { waiting: 0, active: 1, failed: 2, idle: 3, notLoaded: 4 };

const busiest = ({ all }: Rows, most: number): Row[] =>
  [...all.values()].sort((a, b) => ORDER[a.status] - ORDER[b.status] || b.lastAt - a.lastAt).slice(0, most);

function headOf(
  { events, tokens, turns, ttft, pending, capacity, eventLoop, loopLag, rss }: Sample,
  width: number,
  paint: Paint,
) {
  const { residentThreads, runningTurns, unloadedThreads } = capacity;
  const of = ({ used, max }: z.infer<typeof bound>) => (max === null ? `${used}` : `${used} of ${max}`);
  const ms = (value: number | null) => (value === null ? "-" : `${Math.round(value)} ms`);
  return [
    fit(
      `turns ${of(runningTurns)} running, ${runningTurns.waiting} for a slot, ${turns.ended}/s   ${pending} asked   threads ${of(residentThreads)} resident, ${unloadedThreads} unloaded`,
      width,
    ),
    fit(
      `tokens/s ${count(tokens.in)} in ${count(tokens.out)} out   first word p50 ${ms(ttft.p50)} p95 ${ms(ttft.p95)}   ${events} events/s   loop ${Math.round(eventLoop * 100)} %, ${ms(loopLag?.p99 ?? null)} late   ${bytes(rss)}`,
      width,
    ),
    paint(
      "dim",
      fit(
        `  ${padEnd("THREAD", 28)} ${padEnd("ROLE", 12)} ${padStart("TOKENS", 7)} ${padStart("LAST", 9)}  DOING`,
        width,
      ),
    ),
  ];
}

function lineOf(row: Row, now: number, width: number, paint: Paint): string {
  const { status, role, tokensIn, tokensOut, doing } = row;
  const spent = tokensIn === null ? "" : count(tokensIn + (tokensOut ?? 0));
  const columns = [
    padEnd(fit(oneLine(titleOf(row)), 28), 28),
    padEnd(fit(oneLine(role ?? ""), 12), 12),
    padStart(spent, 7),
    padStart(agoOf(row, now), 9),
  ];
  return `${paint(STYLES[status], MARKS[status])} ${fit(`${columns.join(" ")}  ${oneLine(doing)}`, width - 2)}`;
}
