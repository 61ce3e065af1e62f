/** What threads declare that they may be told, and messages read by it. */
import { textOfThrown } from "../kernel/thrown.ts";
import { MessageRefusedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { type Exchange, isExchange, type MessageSchemas, type ThreadMessage } from "../protocol/message.ts";
import { type Checked, check, type StandardSchema } from "../protocol/standard-schema.ts";

/** A thread, with what it declares. */
export type Reader = { readonly threadId: ThreadId; readonly schemas: MessageSchemas };

/** @throws MessageRefusedError */
function declaredFor({ threadId, schemas }: Reader, type: string): StandardSchema | Exchange {
  const declared = Object.hasOwn(schemas, type) ? schemas[type] : undefined;
  if (declared !== undefined) return declared;
  const known = Object.keys(schemas).map((name) => `\`${name}\``);
  const names = known.length === 0 ? "it declares none" : `it declares ${known.join(", ")}`;
  throw new MessageRefusedError(`thread ${threadId} takes no message \`${type}\`: ${names}`, {
    reason: "unknown_type",
    threadId,
    messageType: type,
  });
}

/** @throws MessageRefusedError for a type that is only told */
export function exchangeFor(reader: Reader, type: string): Exchange {
  const declared = declaredFor(reader, type);
  if (isExchange(declared)) return declared;
  const { threadId } = reader;
  throw new MessageRefusedError(
    `thread ${threadId} declares no reply for \`${type}\`; send it, or declare { message, reply }`,
    { reason: "no_reply", threadId, messageType: type },
  );
}

/** The message as its schema gives it, at once where that answers at once. @throws MessageRefusedError */
export function readMessage(
  reader: Reader,
  { type, ...fields }: ThreadMessage,
): ThreadMessage | Promise<ThreadMessage> {
  const declared = declaredFor(reader, type);
  const read = readBy(isExchange(declared) ? declared.message : declared, fields);
  const received = (checked: Checked<unknown>): ThreadMessage => {
    if (checked.ok && typeof checked.value === "object" && checked.value !== null) return { ...checked.value, type };
    const problem = checked.ok ? "its schema gives no object" : checked.problem;
    const { threadId } = reader;
    throw new MessageRefusedError(`message \`${type}\` to thread ${threadId}: ${problem}`, {
      reason: "malformed",
      threadId,
      messageType: type,
    });
  };
  return read instanceof Promise ? read.then(received) : received(read);
}

/** A schema is its author's code, and may throw. */
export function readBy(schema: StandardSchema, value: unknown): Checked<unknown> | Promise<Checked<unknown>> {
  const thrown = (error: unknown): Checked<unknown> => ({ ok: false, problem: textOfThrown(error) });
  try {
    const read = check(schema, value);
    return read instanceof Promise ? read.catch(thrown) : read;
  } catch (error) {
    return thrown(error);
  }
}
