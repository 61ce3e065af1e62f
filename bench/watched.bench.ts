/** What does watching cost a turn: with nobody, with a subscriber of every channel that does nothing, and with OpenTelemetry? */
import { subscribe, tracingChannel } from "node:diagnostics_channel";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import { call, memoryStore, say, scriptedClient, ThreadManager, tool } from "../src/index.ts";
import { instrument } from "../src/otel/instrument.ts";
import { bench, type Measured, nowUs, print } from "./harness.ts";

const CHANNELS = ["spawn", "turn", "model-request", "tool", "approval", "slot", "store-write", "lease"];
const nothing = (): void => undefined;

const WATCHERS: Record<string, () => void> = {
  nobody: nothing,
  channels: () => {
    const all = { start: nothing, end: nothing, asyncStart: nothing, asyncEnd: nothing, error: nothing };
    for (const name of CHANNELS) tracingChannel(`skein:${name}`).subscribe(all);
    for (const name of ["skein:submit", "skein:mcp-request"]) subscribe(name, nothing);
  },
  otel: () => {
    const tracerProvider = new TracerProvider({ spanProcessors: [] });
    instrument({ tracerProvider, meterProvider: new MeterProvider() });
  },
};

/** A turn of two answers with a tool's call between them, in a new thread for every 20. */
async function turns(watcher: string, total: number): Promise<Measured> {
  WATCHERS[watcher]?.();
  const model = scriptedClient((_, n) => (n % 2 === 0 ? [call("echo")] : [say("done")]));
  const echo = tool({ name: "echo", description: "", execute: () => "echo" });
  await using manager = await ThreadManager.create({ store: memoryStore(), model, tools: [echo] });
  let thread = (await manager.startThread()).thread;
  const run = async (times: number) => {
    for (let turn = 0; turn < times; turn += 1) {
      if (turn % 20 === 0) thread = (await manager.startThread()).thread;
      await thread.run("go");
    }
  };
  await run(Math.ceil(total / 10));
  const begun = nowUs();
  await run(total);
  return { usPerTurn: (nowUs() - begun) / total };
}

const cases = { turns: ({ watcher = "nobody", total = "0" }) => turns(watcher, Number(total)) };

await bench(import.meta.url, cases, async (run) => {
  for (const watcher of Object.keys(WATCHERS)) {
    print({ bench: "watched", case: watcher, ...(await run.samples("turns", { watcher, total: 2_000 })) });
  }
});
