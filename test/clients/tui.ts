/** The TUI of stock Codex, in a terminal, on a server: what its user does, and what they see. */
import { join } from "node:path";
import { Place } from "./place.ts";
import { Listener, type Program } from "./program.ts";
import { type Outcome, runSteps } from "./step.ts";
import { clientEnv, Terminal } from "./tmux.ts";

type TuiStep = { name: string; run: (tui: Terminal, place: Place) => Promise<void> };

const IDLE = "Ask Codex to do anything";

const STEPS: TuiStep[] = [
  {
    name: "start",
    run: async (tui) => {
      await tui.see(IDLE);
      await tui.see("? for shortcuts");
      if (/⚠|■/.test(tui.screen)) throw new Error(`it warns:\n${tui.screen}`);
    },
  },
  {
    name: "a turn",
    run: async (tui) => {
      await tui.enter("hello there");
      await tui.see("• ack: hello there");
      await tui.see("· Scripted title");
    },
  },
  {
    name: "a command",
    run: async (tui) => {
      await tui.enter("run echo from-a-tool");
      await tui.see("• ran it");
      await tui.see("Ran echo from-a-tool");
    },
  },
  {
    name: "!command",
    run: async (tui) => {
      tui.key("-l", "!echo by-hand");
      await tui.see("! echo by-hand");
      tui.key("Enter");
      await tui.see("You ran echo by-hand");
      await tui.enter("after my command");
      await tui.see("• ack: after my command");
    },
  },
  {
    name: "steer",
    run: async (tui) => {
      await tui.enter("wait for me");
      await tui.see("• waiting");
      await tui.enter("go on instead");
      await tui.see("• ack: go on instead");
    },
  },
  {
    name: "steer while a command runs, and send at once",
    run: async (tui) => {
      await tui.enter("run sleep 20");
      await tui.see("1 background terminal running");
      await tui.enter("leave it");
      await tui.see("↳ leave it");
      tui.key("Escape");
      await tui.see("Model interrupted to submit steer instructions");
      await tui.see("• ack: leave it");
    },
  },
  {
    name: "interrupt",
    run: async (tui) => {
      await tui.enter("wait again");
      await tui.until("the answer to begin", (screen) => /› wait again\s+• waiting/.test(screen));
      tui.key("Escape");
      await tui.see("Conversation interrupted");
      await tui.enter("still here");
      await tui.see("• ack: still here");
    },
  },
  {
    name: "/rename",
    run: async (tui) => {
      await tui.enter("/rename Renamed by hand");
      await tui.see("· Renamed by hand");
    },
  },
  {
    name: "/fork",
    run: async (tui) => {
      await tui.enter("/fork");
      await tui.see("Thread forked from Renamed by hand");
      await tui.see("Fork created");
      await tui.enter("/rename The branch");
      await tui.see("· The branch");
      await tui.enter("in the fork");
      await tui.see("• ack: in the fork");
    },
  },
  {
    name: "/compact",
    run: async (tui) => {
      await tui.enter("/compact");
      await tui.see("• Context compacted");
      await tui.enter("after it");
      await tui.see("• ack: after it");
    },
  },
  {
    name: "Esc Esc",
    run: async (tui) => {
      await tui.rest();
      tui.key("Escape");
      await tui.see("esc again");
      tui.key("Escape");
      await tui.see("↵ rewind");
      tui.key("Enter");
      await tui.see("Conversation reverted");
      await tui.until("the reverted turn to go", (screen) => !screen.includes("• ack: after it"));
      tui.key("C-u");
      await tui.see(IDLE);
    },
  },
  {
    name: "/new",
    run: async (tui) => {
      await tui.enter("/new");
      await tui.until("an empty thread", (screen) => screen.includes(IDLE) && !screen.includes("in the fork"));
      await tui.rest();
      await tui.enter("second thread");
      await tui.see("• ack: second thread");
    },
  },
  {
    name: "/resume",
    run: async (tui) => {
      await tui.enter("/resume");
      await tui.see("Resume a previous session");
      await tui.see("Renamed by hand");
      for (const letter of "Renamed") tui.key("-l", letter);
      await tui.see("1 / 1");
      tui.key("Enter");
      await tui.see("• ack: still here");
      await tui.until("the history alone", (screen) => !screen.includes("in the fork"));
      await tui.enter("back again");
      await tui.see("• ack: back again");
    },
  },
  {
    name: "/side",
    run: async (tui) => {
      await tui.enter("/side");
      // 0.169 takes the whole screen for it, 0.171 a half.
      await tui.until("the side chat", (screen) => /Side from main thread|Side chat ×/.test(screen));
      await tui.enter("by the way");
      await tui.see("• ack: by the way");
      tui.key("C-c");
      await tui.until("the main thread alone", (screen) => !screen.includes("by the way"));
      await tui.see("• ack: back again");
    },
  },
  {
    name: "/model",
    run: async (tui, { model }) => {
      await tui.enter("/model");
      await tui.see("Select Model and Effort");
      tui.key("Down");
      tui.key("Enter");
      await tui.see("Select Reasoning Level");
      tui.key("Enter");
      await tui.see("Model changed to ");
      await tui.enter("with another model");
      await tui.see("• ack: with another model");
      const changed = /Model changed to (\S+)/.exec(tui.screen)?.[1] ?? "";
      const asked = model.requests.at(-1)?.model;
      if (asked !== changed || asked === model.requests[0]?.model) throw new Error(`asked ${asked}, not ${changed}`);
    },
  },
  {
    name: "/permissions",
    run: async (tui) => {
      await tui.enter("/permissions");
      await tui.see("Full Access (current)");
      tui.key("Down");
      tui.key("Enter");
      await tui.see("Permission selection requested: Read Only");
      await tui.enter("with less");
      await tui.see("• ack: with less");
      await tui.enter("/permissions");
      await tui.see("Read Only (current)");
      tui.key("Escape");
      // A letter that follows at once would be taken for Alt with it.
      await tui.until("the menu to close", (screen) => !screen.includes("Read Only (current)"));
    },
  },
  {
    name: "a failure",
    run: async (tui) => {
      await tui.enter("fail please");
      await tui.see("■ it failed");
    },
  },
  {
    name: "quit",
    run: async (tui) => {
      await tui.enter("/quit");
      await tui.untilEnded();
    },
  },
];

export async function checkTui(program: Program, binary: string): Promise<Outcome[]> {
  await using place = await Place.create();
  await using server = await Listener.start(program, place);
  const env = clientEnv(place);
  const command = [binary, "--remote", server.url];
  using tui = new Terminal(join(place.folder, "tmux"), command, { cwd: place.work, env });
  return await runSteps(STEPS.map(({ name, run }) => ({ name, run: () => run(tui, place) })));
}
