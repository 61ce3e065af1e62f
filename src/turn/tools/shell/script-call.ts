import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { CallContext } from "../call-context.ts";
import type { ProcessEnvironment } from "../clean-environment.ts";
import { runPatch } from "../patch/patch-call.ts";
import { patchInScript } from "../patch/patch-script.ts";

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
