/** What the tests of exec_command share: its calls, plays that know the running session, and its answers without chance. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelRequest } from "../../../src/model/model-client.ts";
import { call, type Step } from "../../../src/model/script.ts";
import { textOf } from "../../../src/protocol/response-item.ts";
import type { ThreadConfig } from "../../../src/protocol/thread-config.ts";
import type { Thread } from "../../../src/thread/thread.ts";

export const EXEC: ThreadConfig = { builtInTools: ["unified_exec"] };

export const exec = (cmd: string, rest: object = {}) => call("exec_command", { cmd, login: false, ...rest });

/** The session that the last output named. */
export const sessionIn = ({ input }: ModelRequest): number => {
  const texts = input.map((item) => (item.type === "function_call_output" ? textOf(item) : ""));
  return Number(/session ID (\d+)/.exec(texts.findLast((text) => text.includes("session ID")) ?? "")?.[1] ?? 0);
};

/** Plays one answer after another; those that need the running session are told its id. */
export const plays =
  (...answers: readonly (string | readonly Step[] | ((session: number) => readonly Step[]))[]) =>
  (request: ModelRequest, n: number) => {
    const answer = answers[n] ?? "no more";
    return typeof answer === "function" ? answer(sessionIn(request)) : answer;
  };

export const look = (session: number, rest: object = {}) => [call("write_stdin", { session_id: session, ...rest })];

/** Resolves when the model has called the tool and the call is under way. */
export const called = (thread: Thread, name: string): Promise<void> =>
  new Promise((resolve) => {
    const subscription = thread.events$.subscribe(({ msg }) => {
      if (msg.type !== "raw_response_item" || msg.item.type !== "function_call" || msg.item.name !== name) return;
      setImmediate(() => {
        subscription.unsubscribe();
        resolve();
      });
    });
  });

/** Without what differs from run to run. */
export const steady = (output: string | undefined): string =>
  (output ?? "")
    .replace(/Chunk ID: [0-9a-f]{6}\n/, "Chunk ID: C\n")
    .replace(/Wall time: \d+\.\d{4} /, "Wall time: W ")
    .replace(/session ID \d+/, "session ID S");

export const answered = (state: string, tokens: number, text: string): string =>
  `Chunk ID: C\nWall time: W seconds\n${state}\nOriginal token count: ${tokens}\nOutput:\n${text}`;

/** A child in the foreground and one in the background, deaf to SIGTERM. */
export const DEAF =
  "trap '' TERM; (trap '' TERM; echo $BASHPID > grandchild; exec sleep 1000) & echo $$ > child; until [ -s grandchild ]; do sleep 0.01; done; echo up; wait";

export const pidsOf = async (cwd: string): Promise<number[]> =>
  Promise.all(["child", "grandchild"].map(async (name) => Number(await readFile(join(cwd, name), "utf8"))));
