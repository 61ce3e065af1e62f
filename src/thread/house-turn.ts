/** A turn of the house that a thread's own logic has begun: the turn's machine, and what it came to. */
import { type ActorRefFrom, createActor } from "xstate";
import { lifeOf, type Submission } from "../../machines/thread.machine.ts";
import type { TurnMachineEvent, turnMachine } from "../../machines/turn.machine.ts";
import { onceAborted } from "../kernel/abort-listeners.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import { abandonTurn } from "../turn/turn-actors.ts";
import type { TurnHost } from "../turn/turn-host.ts";
import type { ThreadEnv } from "./thread-env.ts";
import type { TurnResult } from "./turn-result.ts";
import { type TurnObserver, TurnWatch } from "./turn-watch.ts";

/** The life that it runs in. */
export interface HouseTurnHost extends TurnHost {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly env: ThreadEnv;
}

export class HouseTurn {
  readonly id: SubmissionId;
  readonly #watch: TurnWatch;
  readonly #actor: ActorRefFrom<typeof turnMachine>;
  #observer: TurnObserver | undefined;

  constructor(host: HouseTurnHost, submission: Submission) {
    const { id, turnId } = submission;
    this.id = id;
    const observe = (observer: TurnObserver) => {
      this.#observer = observer;
      return () => undefined;
    };
    this.#watch = new TurnWatch({ id: host.threadId, observe, goesOnWith: () => false });
    this.#watch.begin(id);
    host.intake.inbox.hold(submission, id);
    const task = { id, kind: "regular", ...(turnId === undefined ? {} : { turnId }) };
    this.#actor = createActor(host.env.turnLogic, { input: { life: lifeOf(host), task } });
    this.#actor.subscribe({ error: (error) => abandonTurn(host, error) });
  }

  /** Runs it to its end. @throws the signal's reason, once the turn has ended */
  async run(signal: AbortSignal): Promise<TurnResult<never>> {
    const stopListening = onceAborted(signal, () => this.interrupt());
    try {
      this.#actor.start();
      if (signal.aborted) this.interrupt();
      const result = await this.#watch.result;
      if (signal.aborted && result.status === "interrupted") throw signal.reason;
      return result;
    } finally {
      stopListening();
      this.#actor.stop();
    }
  }

  interrupt(): void {
    this.#actor.send({ type: "turn.interrupt", reason: "interrupted" });
  }

  send(event: TurnMachineEvent): void {
    this.#actor.send(event);
  }

  /** What the thread has said past its logic. */
  hear(id: SubmissionId, msg: EventMsg): void {
    this.#observer?.event({ id, msg });
  }
}
