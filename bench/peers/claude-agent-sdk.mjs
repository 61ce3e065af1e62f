import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, messagesOf } from "./words.mjs";

const sdk = await import("@anthropic-ai/claude-agent-sdk");
const MODEL = "bench";

/** A line of a session's file. */
const lineOf = ({ role, content }, facts) => ({
  ...{ isSidechain: false, userType: "external", version: "2.0.0", timestamp: new Date().toISOString() },
  ...facts,
  type: role,
  message:
    role === "user"
      ? { role, content }
      : {
          ...{ id: `msg_${facts.uuid}`, type: "message", role, model: MODEL, stop_reason: "end_turn" },
          content: [{ type: "text", text: content }],
        },
});

/** Its turns need its program and a model; its session files do not. */
export const peer = {
  name: "Claude Agent SDK, session files",
  version: process.env.SKEIN_PEER_VERSION,
  async open(folder) {
    const dir = join(folder, "work");
    const projects = join(folder, "config", "projects", dir.replaceAll(/[^a-zA-Z0-9]/g, "-"));
    process.env.CLAUDE_CONFIG_DIR = join(folder, "config");
    mkdirSync(dir);
    mkdirSync(projects, { recursive: true });
    return {
      async build(messages) {
        const sessionId = randomUUID();
        const ids = Array.from({ length: messages }, () => randomUUID());
        const lines = messagesOf(messages).map((message, at) =>
          lineOf(message, { uuid: ids[at], parentUuid: ids[at - 1] ?? null, sessionId, cwd: dir }),
        );
        writeFileSync(
          join(projects, `${sessionId}.jsonl`),
          `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`,
        );
        return { sessionId, ids };
      },
      async fork({ sessionId, ids }, kept) {
        const made = await sdk.forkSession(sessionId, { dir, upToMessageId: ids[kept - 1] });
        if (typeof made.sessionId !== "string") throw new Error("there is no fork");
      },
      async reopen({ sessionId }, messages) {
        check((await sdk.getSessionMessages(sessionId, { dir })).length, messages);
      },
    };
  },
};
