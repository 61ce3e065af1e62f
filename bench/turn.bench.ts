/** How many turns of 20 deltas a second, beside reading the same answers from the scripted client alone? */
import { Agent, request } from "node:http";
import {
  type ModelClient,
  memoryStore,
  type NewThread,
  responsesClient,
  say,
  scriptedClient,
  ThreadManager,
} from "../src/index.ts";
import { newThreadId, newTurnId } from "../src/protocol/ids.ts";
import { bench, type Measured, nowUs, print, STORE_SAMPLES } from "./harness.ts";
import { startSseServer } from "./sse-server.ts";

const DELTAS = Array.from({ length: 20 }, (_, at) => `word${at} `);
const model = () => scriptedClient(() => [say(DELTAS.join(""), { deltas: DELTAS })]);

/** Turns one after another, in a new thread every now and then: a request holds its whole conversation. */
class Worker {
  readonly #manager: ThreadManager;
  #thread: Promise<NewThread> | undefined;
  #turns = 0;

  constructor(manager: ThreadManager) {
    this.#manager = manager;
  }

  async turn(): Promise<void> {
    if (this.#turns % 20 === 0) this.#thread = this.#manager.startThread();
    this.#turns += 1;
    await (await this.#thread)?.thread.run("go");
  }
}

type Args = Readonly<Record<string, string>>;

async function turns(concurrency: number, total: number, client: ModelClient = model()): Promise<Measured> {
  const manager = await ThreadManager.create({ store: memoryStore(), model: client });
  const workers = Array.from({ length: concurrency }, () => new Worker(manager));
  const measured = await paced(workers, total, (worker) => worker.turn());
  await manager.shutdown();
  await client.close?.();
  return measured;
}

/** Keeps every worker busy until `total` pieces of work are done; a few first, which do not count. */
async function paced<W>(
  workers: readonly W[],
  total: number,
  work: (worker: W) => Promise<unknown>,
): Promise<Measured> {
  for (let warm = 0; warm < 50; warm += 1) await work(workers[warm % workers.length] as W);
  let left = total;
  const latencies: number[] = [];
  const cpu = process.cpuUsage();
  const start = nowUs();
  await Promise.all(
    workers.map(async (worker) => {
      while (left > 0) {
        left -= 1;
        const begun = nowUs();
        await work(worker);
        latencies.push(nowUs() - begun);
      }
    }),
  );
  const us = nowUs() - start;
  const { user, system } = process.cpuUsage(cpu);
  const sorted = latencies.toSorted((a, b) => a - b);
  return {
    turnsPerSecond: (latencies.length / us) * 1e6,
    p50us: sorted[Math.floor(sorted.length * 0.5)] ?? 0,
    p99us: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    cpuUs: (user + system) / latencies.length,
  };
}

/** The floor over HTTP: a kept-alive client that reads the whole answer and looks at none of it. */
function bareRequest(port: number, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path: "/v1/responses", method: "POST", agent };
    const asked = request(options, (response) => response.resume().on("end", resolve).on("error", reject));
    asked.on("error", reject);
    asked.end(JSON.stringify({ model: "bench", input: [], stream: true }));
  });
}

const cases = {
  skein: ({ concurrency, total }: Args) => turns(Number(concurrency), Number(total)),
  async http({ concurrency, total, deltas }: Args): Promise<Measured> {
    const server = await startSseServer(Number(deltas));
    const measured = await turns(
      Number(concurrency),
      Number(total),
      responsesClient({ baseUrl: server.baseUrl, apiKey: "none" }),
    );
    server.stop();
    return measured;
  },
  async bareHttp({ concurrency, total, deltas }: Args): Promise<Measured> {
    const server = await startSseServer(Number(deltas));
    const agent = new Agent({ keepAlive: true });
    const workers = Array.from({ length: Number(concurrency) }, () => server.port);
    const measured = await paced(workers, Number(total), (port) => bareRequest(port, agent));
    agent.destroy();
    server.stop();
    return measured;
  },
  async modelAlone({ total }: Args): Promise<Measured> {
    const client = model();
    const request = {
      threadId: newThreadId(),
      turnId: newTurnId(),
      model: "scripted",
      instructions: "",
      input: [],
      tools: [],
      parallelToolCalls: true,
      reasoning: { effort: null, summary: null },
    };
    let events = 0;
    const { signal } = new AbortController();
    const start = nowUs();
    for (let left = Number(total); left > 0; left -= 1)
      for await (const _ of client.stream(request, { signal })) events += 1;
    const us = nowUs() - start;
    return { turnsPerSecond: (Number(total) / us) * 1e6, events };
  },
};

await bench(import.meta.url, cases, async (run) => {
  const total = 2_000;
  const alone = await run.samples("modelAlone", { total });
  print({ bench: "turn", case: "scripted client alone", turnsPerSecond: alone.turnsPerSecond });
  for (const concurrency of [1, 16, 128]) {
    const skein = await run.samples("skein", { concurrency, total });
    print({ bench: "turn", case: "turns of 20 deltas", concurrency, ...skein });
  }
  for (const deltas of [20, 2_000]) {
    for (const concurrency of [1, 16, 128]) {
      const args = { concurrency, deltas, total: deltas === 20 ? 1_000 : 128 };
      const bare = await run.samples("bareHttp", args, STORE_SAMPLES);
      print({ bench: "turn", case: "bare http.request", concurrency, deltas, ...bare });
      const http = await run.samples("http", args, STORE_SAMPLES);
      const addedUs = Math.round((http.p50us?.median ?? 0) - (bare.p50us?.median ?? 0));
      print({ bench: "turn", case: "turns over HTTP", concurrency, deltas, ...http, addedUs });
    }
  }
});
