/** Messages of a type of their own between threads: what they are, and what may be said to whom (SEMANTICS 9). */
import type { ThreadId } from "./ids.ts";
import { isStandardSchema, type StandardSchema } from "./standard-schema.ts";
import { isJsonObject } from "./unknown-kind.ts";

/** A message as it is sent: plain JSON, tagged by its `type`. */
export type ThreadMessage = { readonly type: string; readonly [field: string]: unknown };

/** A message that is answered, and its reply. */
export type Exchange = { readonly message: StandardSchema; readonly reply: StandardSchema };

/** What a thread may be told: by each type of message a schema of its other fields; of one that may be asked, also of the reply. */
export type MessageSchemas = { readonly [type: string]: StandardSchema | Exchange };

/** What a schema takes and gives, where its library says so. */
export type SchemaTypes<S> = S extends { readonly "~standard": { readonly types?: infer T } } ? NonNullable<T> : never;
/** What fits a schema. */
export type SchemaInput<S> = SchemaTypes<S> extends { readonly input: infer I } ? I : unknown;
/** What a schema makes of it. */
export type SchemaOutput<S> = SchemaTypes<S> extends { readonly output: infer O } ? O : unknown;
/** The schema of a message, whether it is told or asked. */
export type MessageSchemaOf<D> = D extends { readonly "~standard": unknown }
  ? D
  : D extends { message: infer S }
    ? S
    : never;
/** The types of those messages that are answered. */
export type RequestTypes<M> = { [K in keyof M & string]: M[K] extends Exchange ? K : never }[keyof M & string];

/** What may be sent to a thread that declares these. */
export type MessageOf<M> = {
  [K in keyof M & string]: { readonly type: K } & SchemaInput<MessageSchemaOf<M[K]>>;
}[keyof M & string];

/** What may be asked of it. */
export type RequestOf<M> = Extract<MessageOf<M>, { readonly type: RequestTypes<M> }>;

/** A message of one type as its receiver gets it. */
export type ReceivedOf<M, K extends keyof M & string> = { readonly type: K } & SchemaOutput<MessageSchemaOf<M[K]>>;

/** What the receiver's handler gives for one: the reply, or nothing where none is asked for. */
export type GivenFor<D> = D extends Exchange ? SchemaInput<D["reply"]> : unknown;

/** What the one who asked gets. */
export type ReplyOf<D> = D extends Exchange ? SchemaOutput<D["reply"]> : unknown;

/** A thread by its id, with what it may be told: so that a wrong message does not compile. */
export type Address<M extends MessageSchemas = MessageSchemas> = { readonly id: ThreadId; readonly messages: M };

/** A thread that is spoken to: by its handle, its id, or an {@link Address}. */
export type Recipient = ThreadId | string | { readonly id: ThreadId; readonly messages?: MessageSchemas };

/** What may be sent to a recipient: of one whose messages are not known, any. */
export type MessageTo<To> = To extends { readonly messages: infer M } ? MessageOf<M> : ThreadMessage;

/** What may be asked of a recipient. */
export type RequestTo<To> = To extends { readonly messages: infer M } ? RequestOf<M> : ThreadMessage;

/** What a request is answered with. */
export type ReplyFrom<To, Message> = To extends { readonly messages: infer M }
  ? Message extends { readonly type: infer K extends keyof M }
    ? ReplyOf<M[K]>
    : never
  : unknown;

/** A thread with what its logic declares that it may be told: `addressOf(child, clerk.messages)`. */
export const addressOf = <const M extends MessageSchemas>(
  thread: ThreadId | { readonly id: ThreadId },
  messages: M,
): Address<M> => ({ id: typeof thread === "string" ? thread : thread.id, messages });

export const isExchange = (declared: StandardSchema | Exchange): declared is Exchange => !isStandardSchema(declared);

const isSchema = (value: unknown): boolean =>
  value !== null && Object(value) === value && isStandardSchema(Object(value));

export const areMessageSchemas = (value: unknown): value is MessageSchemas =>
  isJsonObject(value) &&
  Object.values(value).every(
    (each) => isSchema(each) || (isJsonObject(each) && isSchema(each.message) && isSchema(each.reply)),
  );
