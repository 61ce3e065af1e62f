/**
 * The only way to the supervisor, for whoever holds it, its face or one of its threads: messages are read before its
 * machine hears of them, and signals are known by the object itself, which nobody else can make.
 */
import type { AnyActorRef } from "xstate";
import { z } from "zod";
import type { Outcome, SupervisorEvent, SupervisorSignal } from "../../machines/supervisor.machine.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { isJsonObject, isTagged } from "../protocol/unknown-kind.ts";

type Reply = (outcome: Outcome<never>) => void;

const isFunction = (value: unknown): value is Reply => typeof value === "function";
const isSignal = (value: unknown): value is AbortSignal =>
  typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value;

/** What every message has. The rest is read by whoever carries it out, whose errors name the field. */
const ENVELOPE = z.looseObject({
  type: z.enum([
    "thread.spawn",
    "thread.resume",
    "thread.fork",
    "thread.remove",
    "thread.get",
    "thread.list",
    "thread.send",
  ]),
  reply: z.custom<Reply>(isFunction, "must be a function").optional(),
  signal: z.custom<AbortSignal>(isSignal, "must be an AbortSignal").optional(),
});

/** XState's own word for a child's end has the child's id in its type, which a machine would remember for ever. */
const EXIT = /^xstate\.(?:done|error)\.actor\.(.+)$/;

export class SupervisorGate {
  readonly #signals = new WeakSet<object>();

  /** Makes a signal that the gate lets through: a capability of whoever holds this gate. */
  signal(signal: SupervisorSignal): SupervisorSignal {
    this.#signals.add(signal);
    return signal;
  }

  /** What the machine hears. An exit may be told by anybody: the actor itself is asked whether it is true. */
  admit(event: unknown): SupervisorEvent {
    if (typeof event === "object" && event !== null && this.#signals.has(event)) return event as SupervisorSignal;
    try {
      return this.#read(event);
    } catch (error) {
      return { type: "message.refused", error: new InvalidRequestError(`unreadable message: ${String(error)}`) };
    }
  }

  /** Reads a copy, whose members stay as they were read. */
  #read(message: unknown): SupervisorEvent {
    const event = isJsonObject(message) ? { ...message } : message;
    const { success, error } = ENVELOPE.safeParse(event);
    if (success) return event as SupervisorEvent;
    if (isTagged(event)) {
      const exited = event.type === "thread.exited" ? event.threadId : EXIT.exec(event.type)?.[1];
      if (typeof exited === "string") return { type: "thread.exited", threadId: exited as ThreadId };
    }
    const reply = typeof event === "object" && event !== null && "reply" in event ? event.reply : undefined;
    const problem = new InvalidRequestError(problemOf(event, error));
    return { type: "message.refused", error: problem, ...(isFunction(reply) ? { reply } : {}) };
  }

  /** From now on nothing reaches the actor but through this gate, and only this gate's owner can stop it. */
  guard(actor: AnyActorRef): void {
    // XState declares neither: `_send` is what every way of sending comes down to, that of `sendParent` included.
    const inner = actor as unknown as { _send: (event: unknown) => void; stop: () => unknown };
    const deliver = inner._send.bind(actor);
    inner._send = (event) => deliver(this.admit(event));
    inner.stop = () => actor;
  }
}

function problemOf(event: unknown, { issues: [issue] }: z.ZodError): string {
  if (!isTagged(event)) return "a message is an object with a `type`";
  const field = issue?.path.join(".");
  return field === "type" ? `unknown message: ${event.type}` : `${event.type}: ${field}: ${issue?.message}`;
}
