import * as z from "zod";

/** The part of Standard Schema (standardschema.dev, version 1) that Skein uses; zod, valibot and arktype keep it. */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** What a Standard Schema's check came to: the value, or the issues. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] };

/** A JSON Schema, as it is sent to the model; it is not checked. */
export type JsonSchema = Readonly<Record<string, unknown>>;

export const isStandardSchema = (value: object): value is StandardSchema => "~standard" in value;

/** What to show a model: zod's schemas can be turned into JSON Schema, other vendors' can't. */
export function jsonSchemaOf(schema: StandardSchema, io: "input" | "output"): JsonSchema | undefined {
  if (!(schema instanceof z.ZodType)) return undefined;
  const { $schema: _, ...jsonSchema } = z.toJSONSchema(schema, { io });
  return jsonSchema;
}

/** What a check came to: the value, or what is wrong with it, by place. */
export type Checked<Output> =
  | { readonly ok: true; readonly value: Output }
  | { readonly ok: false; readonly problem: string };

/** The value as the schema gives it, or what is wrong with it. */
export async function validate<Output>(schema: StandardSchema<Output>, value: unknown): Promise<Checked<Output>> {
  return check(schema, value);
}

/** The same, at once where the schema answers at once. */
export function check<Output>(
  schema: StandardSchema<Output>,
  value: unknown,
): Checked<Output> | Promise<Checked<Output>> {
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then(checked) : checked(result);
}

function checked<Output>(result: StandardResult<Output>): Checked<Output> {
  if (result.issues === undefined) return { ok: true, value: result.value };
  const problems = result.issues.map(({ message, path = [] }) => {
    const place = path.map((part) =>
      String(typeof part === "object" && part !== null && "key" in part ? part.key : part),
    );
    return place.length === 0 ? message : `${place.join(".")}: ${message}`;
  });
  return { ok: false, problem: problems.join("; ") };
}
