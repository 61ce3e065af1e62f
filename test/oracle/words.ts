/** What a model request carried that matters here. */
export type ModelRequest = { readonly input: readonly { type: string; role?: string; content?: unknown }[] };

/** The conversation in a request: `role: text`, without what the programs themselves add to it. */
export function wordsOf({ input }: ModelRequest): string[] {
  return input.flatMap((item) => {
    if (item.type !== "message" || (item.role !== "user" && item.role !== "assistant")) return [];
    const parts = Array.isArray(item.content) ? (item.content as { text?: string }[]) : [];
    const text = parts.map((part) => part.text ?? "").join("");
    return /^\s*(<environment_context>|# AGENTS\.md|<user_instructions>|<permissions|<skill)/.test(text)
      ? []
      : [`${item.role}: ${text}`];
  });
}
