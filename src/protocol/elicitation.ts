/** What an MCP server asks the user of a thread, and what they say. */
import * as z from "zod";

/** A form, by a JSON schema of plain fields, or an address to go to. `meta` is the server's own. */
export type Elicitation = {
  readonly message: string;
  readonly meta: Readonly<Record<string, unknown>> | null;
} & (
  | { readonly mode: "form"; readonly requestedSchema: Readonly<Record<string, unknown>> }
  | { readonly mode: "url"; readonly url: string; readonly elicitationId: string }
);

/** By the names of the form's fields. */
export type FormContent = { [field: string]: string | number | boolean | string[] };

/** `content` is what a form was filled in with; `meta` is what the client says to the server beside it. */
export type ElicitationAnswer = {
  readonly action: "accept" | "decline" | "cancel";
  readonly content?: FormContent | undefined;
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
};

export const formContentSchema: z.ZodType<FormContent> = z.record(
  z.string(),
  z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]),
);
