/**
 * Real clients against our app-server. Not part of `npm test`: installs Codex from npm into `.cache/`, and skips what
 * cannot be had here. `node test/clients/run.ts [schema|tui|commands|acp ...]`
 */
import { codexBinary } from "../oracle/codex-binary.ts";
import { checkAcp } from "./acp.ts";
import { checkCommands } from "./commands.ts";
import { checkSchemas } from "./schema.ts";
import { checkTui } from "./tui.ts";

const VERSION = "0.169.0";
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const CHECKS: Record<string, (binary: string) => Promise<string[]>> = {
  schema: checkSchemas,
  tui: checkTui,
  commands: checkCommands,
  acp: checkAcp,
};

const binary = codexBinary(VERSION);
const asked = process.argv.slice(2);
if (binary === undefined) say(`skipped: no Codex ${VERSION} for this machine`);
else {
  for (const [name, check] of Object.entries(CHECKS)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    const problems = await check(binary);
    say(problems.length === 0 ? `ok: ${name}` : `not ok: ${name}\n  ${problems.join("\n  ")}`);
    if (problems.length > 0) process.exitCode = 1;
  }
}
