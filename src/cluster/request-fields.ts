/** What handlers are asked with, as they may get it from whoever reaches the engine: what is none of it is refused, and not tried again. */
import * as z from "zod";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isUuid } from "../protocol/ids.ts";
import { parseOp } from "../protocol/op.ts";
import { storedTimerSchema } from "../protocol/schedule.ts";

const text = z.string().min(1);
const uuid = z.string().refine(isUuid, "must be a thread's id");
const from = uuid.nullable();
const tagged = z.looseObject({ type: text });
const ordinal = z.int().min(0);

const op = z.unknown().superRefine((value, context) => {
  try {
    parseOp(value);
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
});

const serverAsk = z
  .looseObject({ server: text })
  .and(z.union([z.looseObject({ tool: text }), z.looseObject({ uri: text })]));

const stepAsk = z.looseObject({ step: text, ref: text, what: z.enum(["begin", "alive", "done", "failed"]) });

const message = z.looseObject({ id: text, to: uuid.optional() }).and(
  z.discriminatedUnion("kind", [
    z.looseObject({ kind: z.literal("op"), op }),
    z.looseObject({ kind: z.literal("interrupt"), turnId: text.optional() }),
    z.looseObject({
      kind: z.literal("rollback"),
      turns: z.union([z.int().min(1), z.looseObject({ beforeTurn: text })]),
    }),
    z.looseObject({ kind: z.literal("budget"), change: z.looseObject({}) }),
    z.looseObject({ kind: z.literal("priority"), priority: z.unknown() }),
    z.looseObject({ kind: z.literal("message"), from, message: tagged, topic: text.nullable() }),
    z.looseObject({ kind: z.literal("request"), from, message: tagged, reply: text }),
    z.looseObject({ kind: z.literal("mcp"), ask: serverAsk, reply: text }),
    z.looseObject({ kind: z.literal("step"), ask: stepAsk, reply: text }),
    z.looseObject({ kind: z.literal("giveUp"), request: text }),
  ]),
);

/** By what is asked: the fields beside the version. */
export const FIELDS = {
  none: z.looseObject({}),
  start: z.looseObject({
    config: z.looseObject({}),
    options: z.looseObject({}),
    isNamed: z.boolean(),
    fork: z.looseObject({ from: z.union([uuid, z.looseObject({ history: z.unknown() })]) }).optional(),
  }),
  open: z.looseObject({ config: z.looseObject({}).nullable() }),
  turn: z.looseObject({ message }),
  deliver: z.looseObject({ message, invocation: text, ask: text.optional() }),
  history: z.looseObject({ from: ordinal, to: ordinal.optional() }),
  check: z.looseObject({ message: tagged }),
  lineage: z.looseObject({ direction: z.enum(["ancestors", "descendants"]) }),
  timer: z.looseObject({ timer: storedTimerSchema }),
  cancel: z.looseObject({ id: text, set: text.optional() }),
  other: z.looseObject({ other: uuid }),
  bind: z.looseObject({ other: uuid, traps: z.boolean() }),
  watch: z.looseObject({ other: uuid, ref: text }),
  ref: z.looseObject({ ref: text }),
  down: z.looseObject({ ref: text, down: z.looseObject({ reason: text }) }),
  topic: z.looseObject({ topic: text }),
  subscribe: z.looseObject({ topic: text, ref: text }),
  listen: z.looseObject({ topic: text, ref: text, other: uuid }),
  admit: z.looseObject({ threadId: uuid, parent: uuid, depth: z.int().min(1), allowed: z.looseObject({}).nullable() }),
  leave: z.looseObject({ threadId: uuid }),
  ask: z.looseObject({ deadlineMs: z.number().min(0) }),
} as const satisfies Record<string, z.ZodType>;

export type Fields = (typeof FIELDS)[keyof typeof FIELDS];
