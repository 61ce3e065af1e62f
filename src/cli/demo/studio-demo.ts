/** The demo as something to look at: its orchestrator goes on, and one agent asks before its command. */
import { call, type ModelRequest, type Play, scriptedClient, ThreadManager, type ThreadStore } from "../../index.ts";
import { createStudio } from "../../studio/create-studio.ts";
import { showAddress } from "../studio/address.ts";
import type { Io } from "../terminal/io.ts";
import { driveMinutes } from "./drive-minutes.ts";
import { orchestrate } from "./orchestrator.ts";
import { demoScript, lastUserText } from "./scenes.ts";
import type { DemoSettings } from "./view.ts";

const WORD_MS = 60;
/** Enough for the demo as it is; with more threads some wait, which is to be seen. */
const PLACES = 8;
const REST_MS = 3_000;
const ASK_PROMPT = "Which Node does the ground station run?";

export async function playForStudio(
  settings: DemoSettings & { readonly open?: boolean },
  { store, io, signal }: { readonly store: ThreadStore; readonly io: Io; readonly signal: AbortSignal },
): Promise<void> {
  await using manager = await demoManager(store);
  await using studio = await createStudio(manager, { cwd: io.cwd() });
  using _shown = showAddress(studio, io, { opens: settings.open !== false });
  await playForever(manager, settings, signal);
}

/** Its model is made up, and so are its prices. */
export const demoManager = (store: ThreadStore): Promise<ThreadManager> =>
  ThreadManager.create({
    store,
    model: scriptedClient(scriptWithQuestion()),
    prices: { scripted: { input: 2, cachedInput: 0.2, output: 8 } },
    limits: { runningTurns: PLACES },
    sessionSource: "cli",
    config: { approvalPolicy: "untrusted", sandboxMode: "read-only", builtInTools: ["shell"] },
  });

/** Until the signal aborts. */
export async function playForever(manager: ThreadManager, settings: DemoSettings, signal: AbortSignal): Promise<void> {
  await Promise.all([playOn(manager, settings, signal), askOn(manager, signal)]);
}

function scriptWithQuestion(): (request: ModelRequest, n: number) => Play {
  const script = demoScript(WORD_MS);
  return (request, n) => {
    const isAsked = lastUserText(request.input) === ASK_PROMPT;
    if (!isAsked || request.input.at(-1)?.type === "function_call_output") return script(request, n);
    return [call("shell_command", { command: "node --version" })];
  };
}

/** Act after act, each with agents of its own. */
async function playOn(manager: ThreadManager, settings: DemoSettings, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const nobody = () => undefined;
    const play = {
      ...settings,
      manager,
      supervisor: manager.supervisor,
      signal,
      tool: driveMinutes,
      onEnter: nobody,
      onNote: nobody,
    };
    // Whoever looks may interrupt, delete or answer what this act counts on: then the next begins.
    await orchestrate(play).catch(() => undefined);
    await rest(signal);
  }
}

/** One thread that waits for an answer whenever it has had one. */
async function askOn(manager: ThreadManager, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const { thread } = await manager.startThread();
    await thread.run(ASK_PROMPT, { signal }).catch(() => undefined);
    await rest(signal);
  }
}

function rest(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, REST_MS);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}
