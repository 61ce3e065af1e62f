/**
 * The tag of a kind that this version does not know. At run time it is any text; at compile time the template keeps it
 * apart from every literal tag, so that `msg.type === "agent_message"` narrows although unknown kinds are in the union,
 * and so that a mistyped tag does not compile. (A branded string would be comparable to every literal and not narrow.)
 */
export type UnknownKind = `\u0000${string}`;

/** A tagged value of an unknown kind. It is kept and written back as it came. */
export type UnknownTagged = { readonly type: UnknownKind; readonly [field: string]: unknown };

/** Makes a value of a kind that this version does not know, for those who speak a newer dialect. */
export const unknownKind = (type: string, fields: Record<string, unknown> = {}): UnknownTagged => ({
  ...fields,
  type: type as UnknownKind,
});

export type JsonObject = { [field: string]: unknown };

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether `value` is an object tagged by a text `type`, as everything on Codex's wire and disk is. */
export const isTagged = (value: unknown): value is { type: string; [field: string]: unknown } =>
  isJsonObject(value) && typeof value.type === "string";
