/**
 * What a client tells the model beside its user's words (`additionalContext`): what has changed since its last input comes before
 * that input, and no item shows it.
 */
import * as z from "zod";
import { newTurnId } from "../../protocol/ids.ts";
import { contextMessage, developerMessage } from "../../protocol/response-item.ts";
import { text } from "../params.ts";
import type { ServedThread } from "../served-threads.ts";

export const additionalContextSchema = z
  .record(z.string(), z.looseObject({ kind: z.enum(["untrusted", "application"]), value: text }))
  .nullish();
type AdditionalContext = z.infer<typeof additionalContextSchema>;

/** As it was with the last input of each thread. */
const given = new WeakMap<ServedThread, NonNullable<AdditionalContext>>();

export async function tellContext(
  thread: ServedThread,
  context: AdditionalContext,
  signal: AbortSignal,
): Promise<void> {
  const before = given.get(thread) ?? {};
  given.set(thread, context ?? {});
  const items = Object.entries(context ?? {})
    .filter(([name, { kind, value }]) => before[name]?.value !== value || before[name]?.kind !== kind)
    .map(([name, { kind, value }]) => {
      const said = `<${name}>${value}</${name}>`;
      if (kind === "application") return developerMessage(said);
      const framed = `<codex_internal_context source="additional_context">\n${said}\n</codex_internal_context>`;
      return contextMessage(framed, "generic.additional_context");
    });
  if (items.length === 0) return;
  await thread.submitWithId({ id: newTurnId(), isNew: true, op: { type: "inject_items", items } }, { signal });
}
