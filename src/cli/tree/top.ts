import * as z from "zod";
import { bytes, count } from "../../studio/page/words.ts";
import { oneLine } from "../terminal/harmless.ts";
import { columnsOf, type Io, isTerminal } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { Screen } from "../terminal/screen.ts";
import { type Paint, paintFor } from "../terminal/style.ts";
import { fit, padEnd, padStart } from "../terminal/text-width.ts";
import { type Line, type SourceOptions, withLine } from "./line.ts";
import { agoOf, MARKS, type Row, Rows, STYLES, titleOf } from "./rows.ts";

export type TopOptions = SourceOptions & { readonly lines: number; readonly json?: boolean };

const NARROW = 60;
const MIDDLING = 80;

const bound = z.object({ used: z.number(), max: z.number().nullable() });
const sampleSchema = z.looseObject({
  t: z.number(),
  events: z.number(),
  tokens: z.object({ in: z.number(), cached: z.number(), out: z.number() }),
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

/** Until it is interrupted; in a pipe, and as JSON, once, after the first second. */
export async function showTop(options: TopOptions, io: Io): Promise<void> {
  await withLine(options, io, (line) => watchTop(options, io, line));
}

async function watchTop({ lines, json }: TopOptions, { stdout, env }: Io, line: Line): Promise<void> {
  const rows = new Rows();
  await rows.watch(line, () => undefined);
  using screen = json !== true && isTerminal(stdout, env) ? new Screen(stdout) : undefined;
  const paint = paintFor(stdout);
  const once = Promise.withResolvers<void>();
  line.on(sampleSchema, "skein/metrics", (sample) => {
    if (json === true) {
      const out = new LineWriter(stdout);
      out.json({ ...sample, threads: busiest(rows, lines) });
      out.flush();
      once.resolve();
      return;
    }
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
  await Promise.race([line.ended, once.promise]);
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
      `tokens/s ${count(tokens.in - tokens.cached)} fresh ${count(tokens.cached)} cached ${count(tokens.out)} out   first word p50 ${ms(ttft.p50)} p95 ${ms(ttft.p95)}   ${events} events/s   loop ${Math.round(eventLoop * 100)} %, ${ms(loopLag?.p99 ?? null)} late   ${bytes(rss)}`,
      width,
    ),
    paint(
      "dim",
      fit(`  ${columnsAt(width, { title: "THREAD", role: "ROLE", tokens: "TOKENS", last: "LAST" })}  DOING`, width),
    ),
  ];
}

type Columns = Readonly<Record<"title" | "role" | "tokens" | "last", string>>;

/** A narrow terminal leaves out the role, then the last time: what a thread does matters more. */
function columnsAt(width: number, { title, role, tokens, last }: Columns): string {
  const name = width < NARROW ? 16 : 28;
  return [
    padEnd(fit(title, name), name),
    ...(width < MIDDLING ? [] : [padEnd(fit(role, 12), 12)]),
    padStart(tokens, 7),
    ...(width < NARROW ? [] : [padStart(last, 9)]),
  ].join(" ");
}

function lineOf(row: Row, now: number, width: number, paint: Paint): string {
  const { status, role, tokensIn, tokensOut, doing } = row;
  const spent = tokensIn === null ? "" : count(tokensIn + (tokensOut ?? 0));
  const columns = columnsAt(width, {
    title: oneLine(titleOf(row)),
    role: oneLine(role ?? ""),
    tokens: spent,
    last: agoOf(row, now),
  });
  return `${paint(STYLES[status], MARKS[status])} ${fit(`${columns}  ${oneLine(doing)}`, width - 2)}`;
}
