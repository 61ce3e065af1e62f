/**
 * Agents that ask before they run a command, and people who answer over HTTP. A question is state of its thread: whoever
 * connects later still finds it, and whoever loses the connection misses nothing, since events are numbered.
 *
 *   GET  /events?after=SEQ   the thread's events from there on, as server-sent events
 *   GET  /questions          what waits for an answer
 *   POST /answer             { "callId": "...", "decision": "approved" | "denied" }
 */
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { call, memoryStore, scriptedClient, ThreadManager } from "skein";

const model = scriptedClient([
  [call("shell_command", { command: "node --version > version.txt" })],
  "I was not allowed to.",
]);
const manager = await ThreadManager.create({
  store: memoryStore(),
  model,
  config: { builtInTools: ["shell"], approvalPolicy: "untrusted", sandboxMode: "danger-full-access" },
});
const { thread } = await manager.startThread();

const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? "/", "http://localhost");
  if (url.pathname === "/events") {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    response.writeHead(200, { "content-type": "text/event-stream" });
    const after = Number(request.headers["last-event-id"] ?? url.searchParams.get("after") ?? -1);
    try {
      for await (const { seq, msg } of thread.events({ after, signal: gone.signal }))
        response.write(`id: ${seq}\ndata: ${JSON.stringify(msg)}\n\n`);
    } catch {
      // The client went away; its next request says where to go on.
    }
    response.end();
  } else if (url.pathname === "/questions") {
    response.end(JSON.stringify(thread.pendingApprovals.map(({ callId, request: asked }) => ({ callId, asked }))));
  } else if (url.pathname === "/answer" && request.method === "POST") {
    const { callId, decision } = JSON.parse(await text(request));
    await thread.submit({ type: "exec_approval", id: callId, decision });
    response.end("{}");
  } else {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
const base = `http://127.0.0.1:${server.address().port}`;

/** A client: reads events until one fits, then drops the connection, as a laptop that is closed does. */
async function readUntil(after, fits) {
  const dropped = new AbortController();
  const response = await fetch(`${base}/events?after=${after}`, { signal: dropped.signal });
  let rest = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const seq = Number(/^id: (\d+)/.exec(block)?.[1]);
      const msg = JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? "null");
      if (!fits(msg)) continue;
      dropped.abort();
      return { seq, msg };
    }
  }
  throw new Error("the stream ended");
}

const turn = thread.run("Which Node is this?");
const { seq } = await readUntil(-1, (msg) => msg.type === "exec_approval_request");
console.log("asked, and the client is gone");

const questions = await (await fetch(`${base}/questions`)).json();
console.log("another client finds", questions.length, "question");
const answer = JSON.stringify({ callId: questions[0].callId, decision: "denied" });
await fetch(`${base}/answer`, { method: "POST", body: answer });

const { msg } = await readUntil(seq, (event) => event.type === "task_complete");
console.log("the first one comes back and reads:", msg.last_agent_message);
await turn;
server.closeAllConnections();
server.close();
await manager.shutdown();
