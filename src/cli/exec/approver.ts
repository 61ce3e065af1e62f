/** Answers the approvals that a thread and its agents ask for: by asking who sits at the terminal, else by refusing. */
import type { EventMsg, Op, ReviewDecision, ThreadEvent, ThreadManager } from "../../index.ts";
import { oneLine } from "../terminal/harmless.ts";
import { type Io, isTerminal } from "../terminal/io.ts";
import { question } from "../terminal/question.ts";
import { commandText } from "./activity.ts";
import type { TurnView } from "./view.ts";

type Request = Extract<EventMsg, { type: "exec_approval_request" | "apply_patch_approval_request" }>;
type Elicitation = Extract<EventMsg, { type: "elicitation_request" }>;

const DECISIONS: Readonly<Record<string, ReviewDecision>> = {
  y: "approved",
  a: "approved_for_session",
  n: "denied",
  q: "abort",
};

export class Approver implements Disposable {
  readonly #manager: ThreadManager;
  readonly #view: TurnView;
  readonly #io: Io;
  readonly #signal: AbortSignal;
  readonly #subscription: { unsubscribe(): void };
  /** One question at a time. */
  #asking: Promise<void> = Promise.resolve();

  constructor(manager: ThreadManager, { view, io, signal }: { view: TurnView; io: Io; signal: AbortSignal }) {
    this.#manager = manager;
    this.#view = view;
    this.#io = io;
    this.#signal = signal;
    this.#subscription = manager.events$.subscribe((event) => this.#take(event));
  }

  [Symbol.dispose](): void {
    this.#subscription.unsubscribe();
  }

  #take({ threadId, msg }: ThreadEvent): void {
    if (msg.type === "exec_approval_request" || msg.type === "apply_patch_approval_request") {
      this.#later(async () => this.#send(threadId, answerTo(msg, await this.#decide(msg))));
    } else if (msg.type === "elicitation_request") {
      this.#later(() => this.#decline(threadId, msg));
    }
  }

  /** What fails here ends with the turn: an interrupted question, or a thread that has gone. */
  #later(work: () => Promise<void>): void {
    this.#asking = this.#asking.then(work).catch((error: unknown) => {
      if (!this.#signal.aborted) this.#view.note(`approval: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  async #send(threadId: ThreadEvent["threadId"], op: Op): Promise<void> {
    await this.#manager.sendOp(threadId, op);
  }

  async #decide(msg: Request): Promise<ReviewDecision> {
    const { stdin, stderr, env } = this.#io;
    if (!(stdin.isTTY && isTerminal(stderr, env))) {
      this.#view.note(`refused, since nobody can be asked: ${wishOf(msg)}`);
      return "denied";
    }
    if (msg.reason) this.#view.note(msg.reason);
    while (true) {
      const text = `Allow ${wishOf(msg)}? [y]es, [a]lways in this session, [n]o, [q]uit the turn: `;
      const answer = (await question(text, this.#io, this.#signal))?.trim().toLowerCase() ?? "";
      const decision = DECISIONS[answer === "" ? "n" : answer.charAt(0)];
      if (decision !== undefined) return decision;
    }
  }

  async #decline(threadId: ThreadEvent["threadId"], { server_name, id, message }: Elicitation): Promise<void> {
    this.#view.note(`declined a question of MCP server ${server_name}: ${oneLine(message)}`);
    await this.#send(threadId, { type: "resolve_elicitation", server_name, request_id: id, decision: "decline" });
  }
}

const answerTo = (msg: Request, decision: ReviewDecision): Op =>
  msg.type === "exec_approval_request"
    ? { type: "exec_approval", id: msg.call_id, decision }
    : { type: "patch_approval", id: msg.call_id, decision };

function wishOf(msg: Request): string {
  if (msg.type === "exec_approval_request") return `\`${oneLine(commandText(msg.command))}\` in ${oneLine(msg.cwd)}`;
  return `a patch of ${Object.keys(msg.changes).map(oneLine).join(", ")}`;
}
