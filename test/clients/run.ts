/**
 * Real clients against our app-server. Not part of `npm test`: installs Codex from npm into `.cache/`, and skips what
 * cannot be had here. `node test/clients/run.ts [schema|schema-0.171|schema-v1|tui|tui-0.171|commands|acp|codex-sdk|doors ...]`
 */
import { codexBinary } from "../oracle/codex-binary.ts";
import { checkAcp } from "./acp.ts";
import { checkCodexSdk } from "./codex-sdk.ts";
import { checkCommands } from "./commands.ts";
import { checkDoors } from "./doors.ts";
import { checkSchemas } from "./schema.ts";
import { checkSchemasOfV1 } from "./schema-v1.ts";
import { checkTui } from "./tui.ts";

const VERSION = "0.169.0";
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Each gives what went wrong, or undefined where its client can't be had. These need the stock binary. */
const CHECKS: Record<string, (binary: string) => Promise<string[] | undefined>> = {
  schema: checkSchemas,
  tui: checkTui,
  commands: checkCommands,
  acp: checkAcp,
};

function tell(name: string, problems: readonly string[] | undefined): void {
  if (problems === undefined) say(`skipped: ${name} cannot be had here`);
  else say(problems.length === 0 ? `ok: ${name}` : `not ok: ${name}\n  ${problems.join("\n  ")}`);
  if (problems !== undefined && problems.length > 0) process.exitCode = 1;
}

const asked = process.argv.slice(2);
const isAsked = (name: string): boolean => asked.length === 0 || asked.includes(name);

const binary = codexBinary(VERSION);
for (const [name, check] of Object.entries(CHECKS)) {
  if (isAsked(name)) tell(name, binary === undefined ? undefined : await check(binary));
}
if (isAsked("schema-v1")) tell("schema-v1", await checkSchemasOfV1());
for (const name of ["schema", "tui"]) {
  if (!isAsked(`${name}-0.171`)) continue;
  const newest = codexBinary("0.171.0");
  tell(`${name}-0.171`, newest === undefined ? undefined : await CHECKS[name]?.(newest));
}
if (isAsked("doors")) tell("doors", await checkDoors());
if (isAsked("codex-sdk")) tell("codex-sdk", await checkCodexSdk());
