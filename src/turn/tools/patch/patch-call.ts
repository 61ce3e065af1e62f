/** One patch: read, checked against the policies, asked about where due, applied and told (SPEC 4.3). */

import { stat } from "node:fs/promises";
import { elapsedBy } from "../../../kernel/clock.ts";
import { textOfThrown } from "../../../kernel/thrown.ts";
import type { ProcessEnvironment } from "../../../process/clean-environment.ts";
import { type ConfineOptions, obstacleTo } from "../../../process/sandbox/confine.ts";
import { openArea } from "../../../process/sandbox/open-area.ts";
import { hostPathOf } from "../../../process/sandbox/private-profile.ts";
import { isOpen } from "../../../process/sandbox/writable-area.ts";
import { plainApprovalOf } from "../../../protocol/policy.ts";
import { foldersUpToRepository } from "../../../services/git.ts";
import { type CallContext, heed, Rejection } from "../call-context.ts";
import { outputForModel } from "../shell/command-output.ts";
import { confinementOf } from "../shell/confinement.ts";
import { PatchError, parsePatch } from "./patch-grammar.ts";
import { type FileStep, type PatchPlan, planPatch } from "./patch-plan.ts";
import { TurnDiff } from "./turn-diff.ts";
import { isWritable } from "./writable-path.ts";
import { targetOf, writeByHandles } from "./write-by-handles.ts";
import { writeConfined } from "./write-confined.ts";
import { writePlainly } from "./write-plainly.ts";

const REJECTED = "patch rejected by user";
/** Why the policy does not let a patch write by itself. */
const obstacleOf = ({ sandboxPolicy }: CallContext["config"]): string =>
  sandboxPolicy.type === "read-only" ? "writing is blocked by read-only sandbox" : "writing outside of the project";

/** The call's output for the model. @throws what is to be told instead: a patch that does not fit, or a refusal */
export async function runPatch(
  call: CallContext,
  { text, cwd, environment }: { text: string; cwd: string; environment: ProcessEnvironment },
): Promise<string> {
  const confinement = confinementOf(call, environment);
  const isPrivate = confinement.profile === "private";
  const place = { cwd, hostPathOf: async (path: string) => (isPrivate ? hostPathOf(path, confinement) : path) };
  const plan = await planOf(text, place);
  const verdict = await judge(call, plan, confinement);
  if (verdict.question === "refuse")
    return `patch rejected: ${obstacleOf(call.config)}; rejected by user approval settings`;
  return new PatchCall(call, plan, verdict).run(verdict.question);
}

async function planOf(text: string, place: Parameters<typeof planPatch>[1]): Promise<PatchPlan> {
  try {
    const hunks = parsePatch(text);
    if (hunks.length === 0) throw new PatchError("No files were modified.");
    return await planPatch(hunks, place);
  } catch (error) {
    if (error instanceof PatchError) throw new PatchError(`apply_patch verification failed: ${error.message}`);
    throw error;
  }
}

type Question = "none" | "ask" | "askOutside" | "refuse";

type Verdict = {
  readonly question: Question;
  /** Writes the steps; reports each that is done. */
  readonly write: (onDone: (step: FileStep) => void) => Promise<void>;
};

/** @throws SandboxUnavailableError where the policy's folders are not what they were */
async function judge(call: CallContext, { steps }: PatchPlan, confinement: ConfineOptions): Promise<Verdict> {
  const { sandboxPolicy } = call.config;
  const policy = plainApprovalOf(call.config.approvalPolicy);
  const ask = policy === "untrusted" ? "ask" : "none";
  if (isOpen(sandboxPolicy)) return { question: ask, write: (onDone) => eachStep(steps, onDone, writePlainly) };
  const area = await openArea(confinement, confinement.folders);
  area.close();
  const isInside = (await Promise.all(steps.map(({ path }) => isWritable(path, area)))).every(Boolean);
  if (isInside && (await obstacleTo(confinement)) === undefined) {
    return { question: ask, write: (onDone) => writeConfined(call, { steps, confinement, onDone }) };
  }
  if (!isInside && policy === "never") return { question: "refuse", write: async () => undefined };
  const question = isInside || ask === "ask" ? ask : "askOutside";
  // No command is confined there, so none can race.
  if (process.platform !== "linux") return { question, write: (onDone) => eachStep(steps, onDone, writePlainly) };
  const targets = new Map<FileStep, string | undefined>();
  for (const step of steps) targets.set(step, await targetOf(step));
  const write = (step: FileStep) => writeByHandles(targets.get(step), step);
  return { question, write: (onDone) => eachStep(steps, onDone, write) };
}

/** @throws PatchError where the disk refuses; what was written before stays */
async function eachStep(
  steps: readonly FileStep[],
  onDone: (step: FileStep) => void,
  write: (step: FileStep) => Promise<void>,
): Promise<void> {
  for (const step of steps) {
    try {
      await write(step);
    } catch (error) {
      const verb = step.after === null ? "delete" : "write";
      throw new PatchError(`Failed to ${verb} file ${step.path}: ${textOfThrown(error)}`);
    }
    onDone(step);
  }
}

const actionOf = (path: string): string => JSON.stringify(["patch", path]);

class PatchCall {
  readonly #call: CallContext;
  readonly #plan: PatchPlan;
  readonly #write: Verdict["write"];
  readonly #place: { call_id: string; turn_id: string };
  readonly #startedAt: number;
  #stdout = "";

  constructor(call: CallContext, plan: PatchPlan, { write }: Pick<Verdict, "write">) {
    this.#call = call;
    this.#plan = plan;
    this.#write = write;
    this.#place = { call_id: call.callId, turn_id: call.turnId };
    this.#startedAt = elapsedBy(call.clock);
  }

  async run(question: Exclude<Question, "refuse">): Promise<string> {
    const { changes } = this.#plan;
    const asks =
      question !== "none" && !this.#plan.steps.every(({ path }) => this.#call.consents.allows(actionOf(path)));
    this.#call.startItem({ type: "FileChange", id: this.#call.callId, changes, status: "in_progress" });
    this.#call.publish({ type: "patch_apply_begin", ...this.#place, auto_approved: !asks, changes });
    try {
      if (asks) await this.#ask(question === "askOutside" ? obstacleOf(this.#call.config) : null);
      this.#call.signal.throwIfAborted();
      const diff = TurnDiff.of(this.#call.turnKey);
      await this.#write(({ path, before, after }) => diff.note(path, before, after));
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
    const decision = await this.#call.askFirst({
      type: "apply_patch_approval_request",
      ...this.#place,
      changes,
      ...(reason === null ? {} : { reason }),
    });
    for (const { path } of steps) heed(decision, consents, actionOf(path), REJECTED);
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
    // Codex up to 0.87 names files outside of a repository by their whole path.
    const elsewhere = this.#call.historyMode === "legacy" ? undefined : this.#call.config.cwd;
    const unified_diff = await TurnDiff.of(this.#call.turnKey).text(isRepository ? root : elsewhere);
    if (unified_diff !== "") this.#call.publish({ type: "turn_diff", unified_diff });
  }

  #output(exitCode: number, aggregated: string): string {
    const durationMs = elapsedBy(this.#call.clock) - this.#startedAt;
    return outputForModel({ ending: "exited", exitCode, aggregated, lines: 0, omittedBytes: 0, durationMs });
  }
}
