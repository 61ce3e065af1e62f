import type { RunOptions, TurnResult, UserInput } from "../../index.ts";
import type { Io } from "../io.ts";
import { Approver } from "./approver.ts";
import type { Session } from "./session.ts";
import type { TurnView } from "./view.ts";

type Turn = {
  readonly input: readonly UserInput[];
  readonly outputSchema?: RunOptions["outputSchema"];
  readonly view: TurnView;
  /** Interrupts the turn, which then ends as it should. */
  readonly signal: AbortSignal;
};

export async function runTurn(
  session: Session,
  { input, outputSchema, view, signal }: Turn,
  io: Io,
): Promise<TurnResult> {
  const { thread, manager } = session;
  using _approver = new Approver(manager, { view, io, signal });
  const interrupt = () => void thread.interrupt().catch(() => undefined);
  const running = thread.run(input, outputSchema === undefined ? {} : { outputSchema });
  signal.addEventListener("abort", interrupt, { once: true });
  if (signal.aborted) interrupt();
  try {
    const result = await running;
    view.result(session, result);
    return result;
  } finally {
    signal.removeEventListener("abort", interrupt);
  }
}
