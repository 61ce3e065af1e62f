import { type AnyActorRef, createActor } from "xstate";
import { type SupervisorSignal, supervisorMachineOf } from "../../machines/supervisor.machine.ts";
import type { Clock } from "../kernel/clock.ts";
import { ManagerClosedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { shownById } from "../protocol/shown-as.ts";
import type { Inspector, Limits } from "./options.ts";
import { Registry } from "./registry.ts";
import { Service } from "./service.ts";
import { SupervisorGate } from "./supervisor-gate.ts";
import type { SupervisorRequest } from "./supervisor-messages.ts";
import type { Threads } from "./threads.ts";

const machine = supervisorMachineOf<Registry>();

type SupervisorParts = {
  readonly threads: Threads;
  readonly lives: Lives;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly inspect: Inspector | undefined;
};

/** What becomes of threads that end. None of these rejects. */
export interface Lives {
  readonly down: Restarts;
  end(threadId: ThreadId): Promise<void>;
  lose(lost: { readonly threadId: ThreadId; readonly error: Error }): Promise<void>;
}

/** What becomes of those that are down. None of these rejects. */
export interface Restarts {
  awaitRestart(threadId: ThreadId): void;
  restart(threadId: ThreadId): Promise<void>;
  giveUp(given: { readonly threadId: ThreadId; readonly crashes?: number }): Promise<void>;
}

type Told<T extends SupervisorSignal["type"]> = Extract<SupervisorSignal, { type: T }>;

/** The supervisor's actor: its machine with what it does, behind its gate. */
export class Supervisor {
  readonly actor: ReturnType<Supervisor["start"]>;
  readonly #gate = new SupervisorGate();

  constructor(parts: SupervisorParts) {
    this.actor = this.start(parts);
  }

  private start({ threads, lives, limits, clock, inspect }: SupervisorParts) {
    const service = new Service(threads, limits);
    // The machine has told one event from another: what a state's action is given is of the type that it stands under.
    const asked = <T extends SupervisorRequest>(event: object) => event as T;
    const told = <T extends SupervisorSignal["type"]>(event: object) => event as Told<T>;
    const provided = machine.provide({
      actions: {
        startThread: ({ event }) => service.startThread(asked(event)),
        resumeThread: ({ event }) => service.resumeThread(asked(event)),
        forkThread: ({ event }) => service.forkThread(asked(event)),
        removeThread: ({ event }) => service.removeThread(asked(event)),
        findThread: ({ event }) => service.findThread(asked(event)),
        listThreads: ({ event }) => service.listThreads(asked(event)),
        sendToThread: ({ event }) => service.sendToThread(asked(event)),
        refuse: ({ event }) => service.refuse(event, new ManagerClosedError()),
        refuseUnknown: ({ event }) => service.refuse(event, told<"message.refused">(event).error),
        endThread: ({ event }) => void lives.end(told<"thread.exited">(event).threadId),
        awaitRestart: ({ event }) => lives.down.awaitRestart(told<"thread.down">(event).threadId),
        restartThread: ({ event }) => void lives.down.restart(told<"restart.due">(event).threadId),
        giveUpThread: ({ event }) => void lives.down.giveUp(told<"restart.gaveUp">(event)),
        loseThread: ({ event }) => void lives.lose(told<"lease.lost">(event)),
      },
    });
    const makeRegistry = () => new Registry(limits, clock);
    const actor = shownById(createActor(provided, { clock, input: { makeRegistry }, ...(inspect && { inspect }) }));
    // XState's type of an actor of one machine is none of any actor, though each is one.
    this.#gate.guard(actor as unknown as AnyActorRef);
    return actor.start();
  }

  /** The actor's own: it was made by its input, and is reached through it alone. */
  get registry(): Registry {
    return this.actor.getSnapshot().context.registry;
  }

  /** What the manager tells its supervisor, and nobody else can. */
  signal(signal: SupervisorSignal): void {
    this.actor.send(this.#gate.signal(signal));
  }
}
