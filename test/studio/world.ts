/** A manager with something to see: a lead, its agents, commands that are asked about, and texts that would like to be more. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ThreadManager } from "../../src/manager/thread-manager.ts";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { call, fail, hang, type Play, raw, say, think, usage, wait } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { textOf } from "../../src/protocol/response-item.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { createStudio, type StudioOptions, type StudioServer } from "../../src/studio/index.ts";

/** What must stay text, wherever it is said. */
export const HOSTILE = [
  `<img src=x onerror="document.title='owned'">`,
  `<script>document.title="owned"</script>`,
  "![a picture](https://evil.test/x.png)",
  "[a link](javascript:document.title='owned')",
  "safe\u202egnp.exe\u2066 and \u200binvisible",
].join("\n");

const lastText = ({ input }: ModelRequest): string => {
  const said = input.findLast((item) => item.type === "message" && item.role === "user");
  return said === undefined ? "" : textOf(said);
};

const spent = usage({ input_tokens: 1_200, cached_input_tokens: 800, output_tokens: 90 });

/** The scripted model: what is asked decides what it does. */
function answer(request: ModelRequest): Play {
  const text = lastText(request);
  const isDone = request.input.at(-1)?.type === "function_call_output";
  if (isDone)
    return [
      think("Weighing what the output means."),
      say("The retry loop never resets its counter; it does now."),
      spent,
    ];
  if (text.startsWith("run ")) {
    return [think("Looking for the smallest change."), call("shell_command", { command: text.slice(4) }), spent];
  }
  if (text.startsWith("patch ")) {
    const patch = `*** Begin Patch\n*** Add File: ${text.slice(6)}\n+one line\n+another line\n*** End Patch`;
    return [call("apply_patch", { input: patch }), spent];
  }
  if (text === "fail") return [fail("the model is out of paper")];
  if (text === "hostile") return [say(HOSTILE), spent];
  if (text === "long") return [say("x".repeat(1_000_000)), spent];
  if (text === "slow") return slow();
  if (text === "hang") return [say("This takes a while"), hang()];
  return [
    think("Looking for the smallest change."),
    say(`You said: ${text}. No other module imports this helper, so it can go.`),
    spent,
  ];
}

function slow(): Play {
  const id = `msg_${Math.random()}`;
  const words = "Reading the failing test first, then the code that it covers, word after word. "
    .repeat(60)
    .split(/(?<= )/);
  return [
    raw({ type: "item_added", item: { type: "message", role: "assistant", id, content: [] } }),
    ...words.flatMap((delta) => [wait(() => sleep(40)), raw({ type: "text_delta", delta, itemId: id })]),
    raw({
      type: "item_done",
      item: { type: "message", role: "assistant", id, content: [{ type: "output_text", text: words.join("") }] },
    }),
    spent,
  ];
}

export type World = AsyncDisposable & {
  readonly home: string;
  readonly manager: ThreadManager;
  readonly studio: StudioServer;
};

export const managerOf = (home: string): Promise<ThreadManager> =>
  ThreadManager.create({
    store: fileStore({ home, fsync: "never" }),
    model: scriptedClient(answer),
    prices: { scripted: { input: 2, cachedInput: 0.5, output: 8 } },
    config: {
      cwd: home,
      approvalPolicy: "untrusted",
      sandboxMode: "danger-full-access",
      builtInTools: ["shell", "apply_patch"],
    },
  });

export async function world(options: StudioOptions = {}): Promise<World> {
  const home = await mkdtemp(join(tmpdir(), "skein-studio-"));
  const manager = await managerOf(home);
  const studio = await createStudio(manager, { home, cwd: home, ...options });
  return {
    home,
    manager,
    studio,
    [Symbol.asyncDispose]: async () => {
      await studio.close();
      await manager.shutdown({ deadlineMs: 2_000 });
      await rm(home, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** A lead with turns behind it, agents under it of which some wait or work, a fork, and one that failed. */
export async function populate(manager: ThreadManager): Promise<{ lead: string; asking: string; busy: string }> {
  const { thread: lead } = await manager.startThread();
  await lead.run("Fix the flaky retry test");
  await lead.run("Which call sites remain?");
  const agents = manager.agentControl();
  const spawn = (nickname: string, role: string, text: string) =>
    agents.spawnAgent(undefined, text, { parentThreadId: lead.id, agent: { nickname, role } });
  const asking = await spawn("Dirac", "explorer", "run npm test -- --grep retry && rm -f stale.lock");
  const busy = await spawn("Hopper", "worker", "slow");
  await spawn("Curie", "reviewer", "patch notes/retry.md");
  await spawn("Turing", "worker", "Read the retry loop");
  await spawn("Gauss", "tester", "fail");
  const { thread: fork } = await manager.forkThread({ from: lead.id, at: "full" });
  await fork.run("And without the counter?");
  await lead.run("hostile");
  return { lead: lead.id, asking, busy };
}
