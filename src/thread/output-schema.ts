import { InvalidRequestError } from "../protocol/errors.ts";
import {
  isStandardSchema,
  type JsonSchema,
  jsonSchemaOf,
  type StandardSchema,
  validate,
} from "../protocol/standard-schema.ts";
import type { TurnResult } from "./turn-result.ts";

/** What a turn's final message has to fit: a zod (or other Standard) schema, or a plain JSON Schema. */
export type OutputSchema<Output> = StandardSchema<Output> | JsonSchema;

/** The schema as the model is told it. @throws InvalidRequestError when it can't be shown to a model */
export function shownToModel(schema: OutputSchema<unknown>): JsonSchema {
  if (!isStandardSchema(schema)) return schema;
  const shown = jsonSchemaOf(schema, "output");
  if (shown !== undefined) return shown;
  throw new InvalidRequestError("outputSchema: only zod schemas and plain JSON Schemas can be shown to a model");
}

/** The turn's result with its final message read by the schema; a message that doesn't fit makes the turn a failed one. */
export async function withOutput<Output>(
  result: TurnResult<never>,
  schema: OutputSchema<Output>,
): Promise<TurnResult<Output>> {
  if (result.status !== "completed") return result;
  const read = await readOutput<Output>(result.lastAgentMessage ?? "", schema);
  if (read.ok) return { ...result, output: read.value };
  const message = `the final message does not fit the output schema: ${read.problem}`;
  return { ...result, status: "failed", error: { message, info: "other" } };
}

async function readOutput<Output>(text: string, schema: OutputSchema<Output>) {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, problem: (error as Error).message } as const;
  }
  return isStandardSchema(schema)
    ? validate<Output>(schema as StandardSchema<Output>, value)
    : ({ ok: true, value: value as Output } as const);
}
