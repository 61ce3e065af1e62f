/** One patch: read, checked against the policies, asked about where due, applied and told (SPEC 4.3). */
import { chmod, mkdir, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { textOfThrown } from "../../../kernel/thrown.ts";
import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import { isOpen, writableArea } from "../../../process/sandbox.ts";
import { foldersUpToRepository } from "../../../services/git.ts";
import type { CallContext } from "../call-context.ts";
import { heed, Rejection } from "../call-context.ts";
import { outputForModel } from "../shell/command-output.ts";
import { PatchError, parsePatch } from "./patch-grammar.ts";
import { type PatchPlan, planPatch } from "./patch-plan.ts";
import { TurnDiff } from "./turn-diff.ts";
import { isWritable } from "./writable-path.ts";

const REJECTED = "patch rejected by user";
const OUTSIDE = "writing outside of the project";

/** The call's output for the model. @throws what is to be told instead: a patch that does not fit, or a refusal */
export async function runPatch(
  call: CallContext,
  { text, cwd, environment }: { text: string; cwd: string; environment: ProcessEnvironment },
): Promise<string> {
  const plan = await planOf(text, cwd);
  const verdict = await judge(call, plan, environment);
  if (verdict === "refuse") return `patch rejected: ${OUTSIDE}; rejected by user approval settings`;
  return new PatchCall(call, plan).run(verdict);
}

async function planOf(text: string, cwd: string): Promise<PatchPlan> {
  try {
    const hunks = parsePatch(text);
    if (hunks.length === 0) throw new PatchError("No files were modified.");
    return await planPatch(hunks, cwd);
  } catch (error) {
    if (error instanceof PatchError) throw new PatchError(`apply_patch verification failed: ${error.message}`);
    throw error;
  }
}

type Verdict = "run" | "ask" | "askOutside" | "refuse";

async function judge({ config }: CallContext, plan: PatchPlan, environment: ProcessEnvironment): Promise<Verdict> {
  const { approvalPolicy, sandboxPolicy, cwd } = config;
  if (approvalPolicy === "untrusted") return "ask";
  if (isOpen(sandboxPolicy)) return "run";
  const area = writableArea(sandboxPolicy, cwd, environment);
  const inside = await Promise.all(plan.steps.map(({ path }) => isWritable(path, area)));
  if (inside.every(Boolean)) return "run";
  return approvalPolicy === "never" ? "refuse" : "askOutside";
}

const actionOf = (path: string): string => JSON.stringify(["patch", path]);

class PatchCall {
  readonly #call: CallContext;
  readonly #plan: PatchPlan;
  readonly #place: { call_id: string; turn_id: string };
  readonly #startedAt: number;
  #stdout = "";

  constructor(call: CallContext, plan: PatchPlan) {
    this.#call = call;
    this.#plan = plan;
    this.#place = { call_id: call.callId, turn_id: call.turnId };
    this.#startedAt = call.clock.now();
  }

  async run(verdict: Exclude<Verdict, "refuse">): Promise<string> {
    const { changes } = this.#plan;
    const asks = verdict !== "run" && !this.#plan.steps.every(({ path }) => this.#call.consents.allows(actionOf(path)));
    this.#call.startItem({ type: "FileChange", id: this.#call.callId, changes, status: "in_progress" });
    this.#call.publish({ type: "patch_apply_begin", ...this.#place, auto_approved: !asks, changes });
    try {
      if (asks) await this.#ask(verdict === "askOutside" ? OUTSIDE : null);
      this.#call.signal.throwIfAborted();
      await this.#apply();
    } catch (error) {
      return this.#fail(error);
    }
    this.#tell();
    this.#end("", "completed");
    await this.#publishDiff();
    return this.#output(0, this.#stdout);
  }

  /** Tells of the failure, and gives the output that does too. @throws what is no matter of the patch: an abort, a defect */
  #fail(error: unknown): string {
    if (error instanceof Rejection) {
      this.#end(error.message, "declined");
      return error.message;
    }
    const isAborted = this.#call.signal.aborted;
    this.#end(isAborted ? "aborted by user" : textOfThrown(error), "failed");
    if (error instanceof PatchError && !isAborted) return this.#output(1, error.message);
    throw error;
  }

  async #ask(reason: string | null): Promise<void> {
    const { changes, steps } = this.#plan;
    const { consents } = this.#call;
    const decision = await this.#call.ask({
      type: "apply_patch_approval_request",
      ...this.#place,
      changes,
      ...(reason === null ? {} : { reason }),
    });
    for (const { path } of steps) heed(decision, consents, actionOf(path), REJECTED);
  }

  /** @throws PatchError where the disk refuses; what was written before stays */
  async #apply(): Promise<void> {
    const diff = TurnDiff.of(this.#call.turnKey);
    for (const { path, before, after, movedFrom } of this.#plan.steps) {
      try {
        if (after === null) await rm(path);
        else {
          await mkdir(dirname(path), { recursive: true });
          await writeFile(path, after);
          if (movedFrom !== undefined) await chmod(path, (await stat(movedFrom)).mode);
        }
      } catch (error) {
        throw new PatchError(`Failed to ${after === null ? "delete" : "write"} file ${path}: ${textOfThrown(error)}`);
      }
      diff.note(path, before, after);
    }
  }

  /** Line by line, as the program that Codex runs would print it. */
  #tell(): void {
    const { added, modified, deleted } = this.#plan;
    const lines = [
      "Success. Updated the following files:",
      ...added.map((path) => `A ${path}`),
      ...modified.map((path) => `M ${path}`),
      ...deleted.map((path) => `D ${path}`),
    ];
    for (const line of lines) {
      this.#stdout += `${line}\n`;
      const chunk = Buffer.from(`${line}\n`).toString("base64");
      this.#call.publish({ type: "exec_command_output_delta", call_id: this.#call.callId, stream: "stdout", chunk });
    }
  }

  #end(stderr: string, status: "completed" | "failed" | "declined"): void {
    const { changes } = this.#plan;
    this.#call.completeItem({ type: "FileChange", id: this.#call.callId, changes, status });
    this.#call.publish({
      type: "patch_apply_end",
      ...this.#place,
      stdout: this.#stdout,
      stderr,
      success: status === "completed",
      changes,
    });
  }

  async #publishDiff(): Promise<void> {
    const folders = await foldersUpToRepository(this.#call.config.cwd);
    const root = folders.at(-1);
    const isRepository = root !== undefined && (await stat(`${root}/.git`).catch(() => undefined)) !== undefined;
    const unified_diff = await TurnDiff.of(this.#call.turnKey).text(isRepository ? root : undefined);
    if (unified_diff !== "") this.#call.publish({ type: "turn_diff", unified_diff });
  }

  #output(exitCode: number, aggregated: string): string {
    const durationMs = this.#call.clock.now() - this.#startedAt;
    return outputForModel({ ending: "exited", exitCode, aggregated, lines: 0, omittedBytes: 0, durationMs });
  }
}
