/** Over a Unix socket: approvals in the TUI, a thread resumed by its id, and the commands that change stored threads. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Place } from "./place.ts";
import { Listener, type Program } from "./program.ts";
import { type Outcome, runSteps, type Step } from "./step.ts";
import { clientEnv, Terminal } from "./tmux.ts";

export async function checkCommands(program: Program, binary: string): Promise<Outcome[]> {
  await using place = await Place.create();
  await using server = await Listener.start(program, place, `unix://${join(place.folder, "server.sock")}`);
  const env = clientEnv(place);
  const open = (name: string, args: readonly string[]) =>
    new Terminal(join(place.folder, name), [binary, "--remote", server.url, ...args], { cwd: place.work, env });
  let threadId = "";
  const command = (name: string, ...args: string[]): Step => ({
    name: `codex ${name}`,
    run: async () => {
      const all = [name, "--remote", server.url, ...args, threadId];
      const { status, stderr } = spawnSync(binary, all, { env, encoding: "utf8", timeout: 20_000 });
      if (status !== 0) throw new Error(stderr);
    },
  });
  return await runSteps([
    {
      name: "approvals",
      run: async () => {
        using tui = open("first", ["-a", "on-request", "-s", "read-only"]);
        await tui.see("Ask Codex to do anything");
        await tui.enter("escalate touch asked.txt");
        await tui.answer("Would you like to run the following command?", "y");
        await tui.see("You approved codex to run touch asked.txt");
        await tui.see("• ran it");
        if (!existsSync(join(place.work, "asked.txt"))) throw new Error("the command did not run");
        await tui.enter("patch made.txt");
        await tui.answer("Would you like to make the following edits?", "Escape");
        await tui.see("Conversation interrupted");
        if (existsSync(join(place.work, "made.txt"))) throw new Error("the refused patch was applied");
        await tui.enter("/quit");
        await tui.untilEnded();
        threadId = /resume ([0-9a-f-]{36})/.exec(tui.screen)?.[1] ?? "";
      },
    },
    {
      name: "codex resume",
      run: async () => {
        using tui = open("second", ["resume", threadId]);
        await tui.see("• Ran touch asked.txt");
        await tui.see("• ran it");
        await tui.enter("back by id");
        await tui.see("• ack: back by id");
        await tui.rest();
        tui.key("C-c");
        await tui.untilEnded();
      },
    },
    {
      name: "codex fork",
      run: async () => {
        using tui = open("third", ["fork", threadId]);
        await tui.see("• ack: back by id");
        await tui.enter("forked by id");
        await tui.see("• ack: forked by id");
        await tui.enter("/quit");
        await tui.untilEnded();
      },
    },
    command("archive"),
    command("unarchive"),
    command("delete", "--force"),
  ]);
}
