/** Two TUIs of both versions on one thread, over one server that dies and comes back. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Place } from "./place.ts";
import { Listener, type Program } from "./program.ts";
import { type Outcome, runSteps } from "./step.ts";
import { clientEnv, Terminal } from "./tmux.ts";

const IDLE = "Ask Codex to do anything";
const ASKED = "Would you like to run the following command?";

/** @param binaries of the two TUIs: the one that begins the thread, and the one that joins it */
export async function checkTwoTuis(program: Program, [one, other]: readonly [string, string]): Promise<Outcome[]> {
  await using place = await Place.create();
  let server = await Listener.start(program, place);
  let lives = 0;
  const open = (binary: string, ...args: string[]) => {
    lives += 1;
    const command = [binary, "--remote", server.url, ...args];
    return new Terminal(join(place.folder, `tmux${lives}`), command, { cwd: place.work, env: clientEnv(place) });
  };
  using terminals = new DisposableStack();
  let first = terminals.use(open(one, "-a", "on-request", "-s", "read-only"));
  let second = first;
  let threadId = "";
  const resume = (binary: string) => terminals.use(open(binary, "resume", threadId));
  const bothSee = (text: string) => Promise.all([first.see(text), second.see(text)]);
  try {
    return await runSteps([
      {
        name: "one begins a thread, and another of the other version joins it",
        run: async () => {
          await first.see(IDLE);
          await first.enter("hello there");
          await first.see("• ack: hello there");
          await first.enter("/status");
          await first.until("the thread's id", (screen) => /[0-9a-f-]{36}/.test(screen));
          threadId = /[0-9a-f-]{36}/.exec(first.screen)?.[0] ?? "";
          second = resume(other);
          await second.see("• ack: hello there");
        },
      },
      {
        name: "what either writes, both see, with its answer",
        run: async () => {
          await first.enter("from the first");
          await bothSee("• ack: from the first");
          await second.enter("from the second");
          await bothSee("• ack: from the second");
        },
      },
      {
        name: "a turn that one began, the other interrupts",
        run: async () => {
          await first.enter("wait for both");
          await bothSee("• waiting");
          second.key("Escape");
          await bothSee("Conversation interrupted");
        },
      },
      {
        name: "both are asked, and either answers",
        run: async () => {
          await first.enter("escalate touch either.txt");
          await bothSee(ASKED);
          await second.answer(ASKED, "y");
          await bothSee("• ran it");
          await first.until("the question to go", (screen) => !screen.includes(ASKED));
          if (!existsSync(join(place.work, "either.txt"))) throw new Error("the command did not run");
        },
      },
      {
        name: "an approval left by one that went is answered by another",
        run: async () => {
          await first.enter("escalate touch left.txt");
          await first.see(ASKED);
          first[Symbol.dispose]();
          await second.see(ASKED);
          second[Symbol.dispose]();
          second = resume(other);
          await second.answer(ASKED, "y");
          await second.until("its end", (screen) => screen.split("• ran it").length > 2);
          if (!existsSync(join(place.work, "left.txt"))) throw new Error("the command did not run");
        },
      },
      {
        name: "the server is killed in a turn; begun again, the thread goes on",
        run: async () => {
          await second.enter("wait for the end");
          await second.until("the turn", (screen) => /› wait for the end\s+• waiting/.test(screen));
          await server.kill();
          server = await Listener.start(program, place, server.url);
          second[Symbol.dispose]();
          first = resume(one);
          await first.see("wait for the end");
          await first.enter("back again");
          await first.see("• ack: back again");
        },
      },
    ]);
  } finally {
    await server[Symbol.asyncDispose]();
  }
}
