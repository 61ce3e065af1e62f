import * as z from "zod";
import { isUuid, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import type { ThreadMessage } from "../protocol/message.ts";

/** A durable message. */
export type Letter = {
  readonly id: SubmissionId;
  /** null: a caller of the library. */
  readonly from: ThreadId | null;
  readonly message: ThreadMessage;
  readonly topic: string | null;
  /** How often it was given to its receiver. */
  attempts: number;
  /** Unix milliseconds. */
  readonly sentAt: number;
  /** Another process has sent it, which sends it again where it does not know that it was handled. */
  readonly mayComeAgain?: boolean | undefined;
};

/** One that is not given to its receiver any more; `why` says so in words. */
export type SetAsideMessage = Letter & { readonly why: string };

/** The durable messages of a thread, the oldest first. */
export type ThreadMail = { readonly waiting: readonly Letter[]; readonly setAside: readonly SetAsideMessage[] };

const uuid = z.string().refine(isUuid);
/** As it is stored. */
export const letterSchema = z.object({
  id: uuid.transform((id) => id as SubmissionId),
  from: uuid.transform((id) => id as ThreadId).nullable(),
  message: z.looseObject({ type: z.string() }),
  topic: z.string().nullable(),
  attempts: z.int().min(0),
  /** Unix milliseconds. */
  sentAt: z.number(),
  mayComeAgain: z.boolean().optional(),
});
export const asideSchema = letterSchema.extend({ why: z.string() });
