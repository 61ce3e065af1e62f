/**
 * The only way to the supervisor, for holders of it, its face or one of its threads: messages are read before its
 * machine hears of them, and signals are known by the object itself, which nobody else can make.
 */
import type { AnyActorRef } from "xstate";
import * as z from "zod";
import type { Outcome, SupervisorEvent, SupervisorSignal } from "../../machines/supervisor.machine.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { didYouMean } from "../protocol/nearest-name.ts";
import { isJsonObject, isTagged } from "../protocol/unknown-kind.ts";
import type { Replies, SupervisorMessage, SupervisorRequest } from "./supervisor-messages.ts";

type Reply = (outcome: Outcome<never>) => void;

const isFunction = (value: unknown): value is Reply => typeof value === "function";
const isSignal = (value: unknown): value is AbortSignal =>
  typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value;

/** What every message has. The rest is read where it is carried out, with errors that name the field. */
const ENVELOPE = z.looseObject({
  type: z.custom<keyof Replies>((type) => typeof type === "string" && Object.hasOwn(FIELDS, type)),
  reply: z.custom<Reply>(isFunction, "must be a function").optional(),
  signal: z.custom<AbortSignal>(isSignal, "must be an AbortSignal").optional(),
  whenFull: z.enum(["wait", "reject", "dropOldest"]).optional(),
});

/** XState's own word for a child's end has the child's id in its type, which a machine would remember for ever. */
const EXIT = /^xstate\.(?:done|error)\.actor\.(.+)$/;

export class SupervisorGate {
  readonly #signals = new WeakSet<object>();

  /** Makes a signal that the gate lets through: a capability of this gate's holder. */
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
    const exited = exitedOf(event);
    if (exited !== undefined) return { type: "thread.exited", threadId: exited };
    const { success, error } = ENVELOPE.safeParse(event);
    const unknown = success ? unknownField(event as SupervisorMessage) : undefined;
    if (success && unknown === undefined) return event as SupervisorEvent;
    const reply = typeof event === "object" && event !== null && "reply" in event ? event.reply : undefined;
    const problem = new InvalidRequestError(unknown ?? problemOf(event, error));
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

/** Of which thread's end the event tells. */
function exitedOf(event: unknown): ThreadId | undefined {
  if (!isTagged(event)) return undefined;
  const exited = event.type === "thread.exited" ? event.threadId : EXIT.exec(event.type)?.[1];
  return typeof exited === "string" ? (exited as ThreadId) : undefined;
}

/** Whether a supervisor takes messages of this type. */
export const isSupervisorMessage = (type: string): type is keyof Replies => Object.hasOwn(FIELDS, type);

/** What each message may have; the compiler says when one is missing here. */
const FIELDS: { readonly [K in keyof Replies]: Readonly<Record<keyof SupervisorRequest<K>, 1>> } = (() => {
  const all = { type: 1, reply: 1, signal: 1, whenFull: 1 } as const;
  return {
    "thread.spawn": { ...all, config: 1, options: 1 },
    "thread.resume": { ...all, threadId: 1, rolloutPath: 1, history: 1, config: 1, options: 1 },
    "thread.fork": { ...all, from: 1, at: 1, config: 1, options: 1 },
    "thread.remove": { ...all, threadId: 1 },
    "thread.get": { ...all, threadId: 1 },
    "thread.list": all,
    "thread.send": { ...all, threadId: 1, op: 1, id: 1 },
  };
})();

function unknownField(message: SupervisorMessage): string | undefined {
  const known = Object.keys(FIELDS[message.type]);
  const unknown = Object.entries(message).find(([name, value]) => value !== undefined && !known.includes(name));
  if (unknown === undefined) return undefined;
  return `${message.type}: unknown field \`${unknown[0]}\`${didYouMean(unknown[0], known)}`;
}

function problemOf(event: unknown, error: z.ZodError | undefined): string {
  if (!isTagged(event)) return "a message is an object with a `type`";
  const issue = error?.issues[0];
  const field = issue?.path.join(".");
  return field === "type" ? `unknown message: ${event.type}` : `${event.type}: ${field}: ${issue?.message}`;
}
