/** An MCP server that misbehaves on request, written to the protocol by hand: one JSON message a line. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

type Message = {
  id?: number | string;
  method?: string;
  params?: { name?: string; arguments?: Record<string, unknown> };
  result?: unknown;
  error?: unknown;
};

const [, , mode = "plain", folder = "."] = process.argv;

const send = (message: object): boolean => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const text = (value: string, rest: object = {}) => ({ content: [{ type: "text", text: value }], ...rest });
const inputSchema = { type: "object" };

let names = ["hang", "huge", "fails", "crash", "spawns", "grow", "odd name!", "env", "structured", "deep", "pictures"];
/** Calls of `asks` that wait for what the user says, by the id of the question. */
const asking = new Map<string, number | string>();

const call = (name: string, args: Record<string, unknown>): object | undefined => {
  switch (name) {
    case "hang":
      if (typeof args.note === "string") writeFileSync(`${folder}/${args.note}-${process.pid}`, "");
      return undefined;
    case "huge":
      return text("x".repeat(Number(args.bytes)));
    case "fails":
      return text("it did not work", { isError: true });
    case "crash":
      process.exit(1);
      break;
    case "spawns": {
      const child = spawn("sleep", ["1000"], { stdio: "ignore" });
      writeFileSync(`${folder}/grandchild`, String(child.pid));
      return text("spawned");
    }
    case "grow":
      names = [...names, "grown"];
      send({ method: "notifications/tools/list_changed" });
      return text("grown");
    case "env":
      return text(JSON.stringify(process.env));
    case "structured":
      return text("ignored", { structuredContent: { answer: 42 } });
    case "deep":
      return text("ignored", { structuredContent: { nested: JSON.parse("[".repeat(3_000) + "]".repeat(3_000)) } });
    case "pictures":
      return { content: args.content };
    default:
      return text(`called ${name} with ${JSON.stringify(args)}`);
  }
};

if (mode === "asks" || mode === "exits-asking") names = ["asks"];
if (mode === "exits") process.exit(3);
if (mode === "spills") process.stdout.write("this is no JSON\n\n{}\n");
writeFileSync(`${folder}/server-${process.pid}`, "");

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params, result, error } = JSON.parse(line) as Message;
  if (id === undefined || mode === "silent") return;
  if (method === undefined) {
    const asked = asking.get(String(id));
    if (asked !== undefined) send({ id: asked, result: text(JSON.stringify(result ?? { error })) });
    return;
  }
  if (method === "initialize") {
    const serverInfo = { name: "fixture", version: "1" };
    const capabilities = { tools: { listChanged: true } };
    send({ id, result: { protocolVersion: "2025-06-18", capabilities, serverInfo } });
  } else if (method === "tools/list") {
    send({ id, result: { tools: names.map((name) => ({ name, description: `does ${name}`, inputSchema })) } });
  } else if (method === "tools/call" && params?.name === "asks") {
    const question = `ask-${asking.size}`;
    asking.set(question, id);
    send({ id: question, method: "elicitation/create", params: params.arguments });
    if (mode === "exits-asking") process.exit(1);
  } else if (method === "tools/call") {
    const answer = call(params?.name ?? "", params?.arguments ?? {});
    if (answer !== undefined) send({ id, result: answer });
  } else send({ id, error: { code: -32601, message: `no method ${method}` } });
});
