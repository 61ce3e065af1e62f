/** What tests of threads say of turns and of what was told. */
import { hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import type { Json, Message } from "./test-client.ts";

export const texts = (turns: Json[]): string[][] =>
  turns.map(({ items }) => items.map((item: Json) => item.text ?? item.content?.[0]?.text));

export const input = (text: string) => [{ type: "text", text }];

/** A model that begins to answer, and never ends. */
export const hanging = () => ({ model: scriptedClient(() => [say("part", { deltas: ["part"] }), hang()]) });

/** What came about a thread, by method; statuses by their type. */
export const story = (log: readonly Message[], threadId: string): string[] =>
  log.flatMap(({ method, params, id }) => {
    if (method === undefined || id !== undefined || (params.threadId ?? params.thread?.id) !== threadId) return [];
    return method === "thread/status/changed" ? `status ${params.status.type}` : method;
  });
