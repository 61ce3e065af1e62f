/** A process of its own that lives until a step, and is killed there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { type DyingStep, dyingSteps } from "./steps.ts";

const CHILD = new URL("./dying-child.ts", import.meta.url).pathname;

export type TempFolder = Disposable & { readonly path: string };

export function tempFolder(): TempFolder {
  const path = mkdtempSync(join(tmpdir(), "skein-recovery-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Where the process stores: a home, or the address of a server and a schema in it. */
export type DyingPlace = { readonly kind: "file" | "postgres"; readonly place: string; readonly schema?: string };

/** A thread of the process, and the folder that its turn worked in. */
export type Left = { readonly threadId: ThreadId; readonly folder: TempFolder };

/** Lets one process get to all the steps, each in a thread, and kills it there. Resolves when it is gone. */
export async function killedAt(
  steps: readonly DyingStep[],
  { kind, place, schema = "" }: DyingPlace,
): Promise<ReadonlyMap<DyingStep, Left>> {
  const left = new Map(steps.map((step) => [step, { folder: tempFolder(), threadId: "" as ThreadId }]));
  const folders = [...left].map(([step, { folder }]) => `${dyingSteps.indexOf(step)}:${folder.path}`);
  const child = spawn(process.execPath, [CHILD, kind, place, schema, ...folders], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const trouble: string[] = [];
  child.stderr.on("data", (chunk) => trouble.push(String(chunk)));
  const exited = once(child, "exit");
  let said = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [index, threadId] = line.split(" ");
    const step = dyingSteps[Number(index)];
    const thread = step && left.get(step);
    if (step !== undefined && thread !== undefined) left.set(step, { ...thread, threadId: threadId as ThreadId });
    said += 1;
    if (said === steps.length) child.kill("SIGKILL");
  }
  await exited;
  assert.equal(child.signalCode, "SIGKILL", trouble.join(""));
  return left;
}
