import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { CallContext } from "../call-context.ts";
import { runPatch } from "../patch/patch-call.ts";

type Script = { readonly script: string; readonly workdir: string };

type ScriptRun<T> = {
  readonly environment: ProcessEnvironment;
  /** How the script stands to the turn's other calls. */
  readonly queue: "exclusively" | "sideBySide";
  readonly run: () => Promise<T>;
};

/**
 * Runs a script in its folder; one that is a patch by another name is applied as a patch.
 *
 * @throws InvalidRequestError for a folder that is not there: it would look like a missing shell
 */
export function runScript<T>(
  call: CallContext,
  { script, workdir }: Script,
  { environment, queue, run }: ScriptRun<T>,
) {
  const patch = patchInScript(script);
  if (patch !== undefined) {
    const cwd = resolve(workdir, patch.folder ?? ".");
    return call.exclusively(() => runPatch(call, { text: patch.text, cwd, environment }));
  }
  return call[queue](async () => {
    const found = await stat(workdir).catch(() => undefined);
    if (found?.isDirectory() !== true) throw new InvalidRequestError(`workdir is not a folder: ${workdir}`);
    return run();
  });
}

/** A shell script that does nothing but apply a patch, as models write it that were taught to. */
export type PatchScript = { readonly text: string; readonly folder: string | null };

const FOLDER = String.raw`(?:cd\s+(?:'(?<single>[^']*)'|"(?<double>[^"$\`\\]*)"|(?<bare>[^\s'"$\`\\;&|<>()]+))\s*&&\s*)?`;
const HEREDOC = new RegExp(
  String.raw`^\s*${FOLDER}(?:apply_patch|applypatch)\s*<<-?\s*(?<quote>['"]?)(?<tag>\w+)\k<quote>[ \t]*\n(?<text>[\s\S]*?)\n[ \t]*\k<tag>\s*$`,
);
const QUOTED = new RegExp(
  String.raw`^\s*${FOLDER}(?:apply_patch|applypatch)\s+(?:'(?<raw>[^']*)'|"(?<cooked>[^"$\`\\]*)")\s*$`,
);

/** The patch and the folder that the script goes to before it; undefined for any other script. */
export function patchInScript(script: string): PatchScript | undefined {
  const groups = HEREDOC.exec(script)?.groups ?? QUOTED.exec(script)?.groups;
  if (groups === undefined) return undefined;
  const text = groups.text ?? groups.raw ?? groups.cooked;
  if (text === undefined || !text.includes("*** Begin Patch")) return undefined;
  return { text, folder: groups.single ?? groups.double ?? groups.bare ?? null };
}
