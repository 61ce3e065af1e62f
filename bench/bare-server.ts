/**
 * What no app-server on Node can go below: JSON-RPC over standard input and output that asks the model's server over HTTP, tells each delta,
 * and appends as many lines and bytes to a file of the thread as Skein does, forced to the disk once a turn. It has no thread, no settings
 * and no checks.
 */
import { fdatasync, openSync, writeSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [home = "", port = "", startBytes = "", turnLines = "", turnBytes = "", bodyBytes = ""] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
const files = new Map<string, number>();
const body = "x".repeat(Number(bodyBytes));
const stored = `${"x".repeat(Math.max(1, Math.round(Number(turnBytes) / Number(turnLines)) - 1))}\n`.repeat(
  Number(turnLines),
);
let unsent = "";

function send(message: object): void {
  if (unsent === "") setImmediate(flush);
  unsent += `${JSON.stringify(message)}\n`;
}

function flush(): void {
  process.stdout.write(unsent);
  unsent = "";
}

function start(id: number): void {
  const threadId = `thread-${files.size}`;
  const fd = openSync(join(home, `${threadId}.jsonl`), "ax");
  writeSync(fd, "x".repeat(Number(startBytes)));
  files.set(threadId, fd);
  send({ id, result: { thread: { id: threadId, padding: "x".repeat(1_000) } } });
  send({ method: "thread/started", params: { thread: { id: threadId, padding: "x".repeat(700) } } });
}

function turn(id: number, threadId: string): void {
  send({ id, result: { turn: { id: "turn", items: [], status: "inProgress" } } });
  const tell = (method: string, more: object) => send({ method, params: { threadId, turnId: "turn", ...more } });
  for (const method of ["thread/status/changed", "turn/started", "item/started", "item/completed"]) tell(method, {});
  const asking = request({ agent, port, method: "POST", path: "/v1/responses" }, (answer) => {
    let rest = "";
    answer.setEncoding("utf8").on("data", (chunk: string) => {
      const events = (rest + chunk).split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) {
        const data = JSON.parse(event.slice(event.indexOf("data: ") + 6)) as { type: string; delta?: string };
        if (data.delta !== undefined) tell("item/agentMessage/delta", { itemId: "msg", delta: data.delta });
      }
    });
    answer.on("end", () => {
      const fd = files.get(threadId) ?? 1;
      writeSync(fd, stored);
      fdatasync(fd, () => {
        for (const method of ["item/completed", "thread/tokenUsage/updated", "thread/status/changed", "turn/completed"])
          tell(method, { turn: { id: "turn", items: [], status: "completed" } });
      });
    });
  });
  asking.end(body);
}

createInterface(process.stdin).on("line", (line) => {
  const { id, method, params } = JSON.parse(line) as { id?: number; method: string; params?: { threadId?: string } };
  if (id === undefined) return;
  if (method === "thread/start") start(id);
  else if (method === "turn/start") turn(id, params?.threadId ?? "");
  else send({ id, result: {} });
});
process.stdin.on("end", () => process.exit(0));
