import { textOfThrown } from "../kernel/thrown.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ApprovalQuestion, Tool, ToolContext, ToolSpec } from "../protocol/function-tool.ts";
import { type JsonSchema, jsonSchemaOf, type StandardSchema, validate } from "../protocol/standard-schema.ts";

/** A function tool: what the model sees of it, and what runs when the model calls it. */
export type ToolOptions<Input> = {
  /** Letters, digits, `_` and `-`; at most 64. */
  readonly name: string;
  readonly description: string;
  /** Checks the model's arguments. Without one, any JSON object is passed on. */
  readonly input?: StandardSchema<Input>;
  /** The JSON Schema shown to the model. Derived from a zod schema; other vendors need it said. */
  readonly inputJsonSchema?: JsonSchema;
  /**
   * Whether a call that ran twice has come to the same as one that ran once. Then, where `recovery` is `continue`, a call that
   * its process's death cut off is made again; else the model is told that nobody knows whether it took effect. Default false.
   */
  readonly idempotent?: boolean;
  /**
   * Whether the call needs the user's word first: always, or where the function gives what to ask. See ToolContext.askApproval. A
   * call that is denied is not executed, and the model hears so.
   */
  readonly approval?: ToolApproval<Input> | undefined;
  /**
   * Answers the call. A text is given to the model as it is, anything else as JSON. What it throws is told to the
   * model as the call's output, and never ends the turn. On interrupt it has 100 ms to end by itself.
   */
  readonly execute: (input: Input, context: ToolContext) => unknown;
};

/** `"always"`, or what is to be asked for these arguments: a reason, a whole question, or nothing (false or undefined). */
export type ToolApproval<Input> =
  | "always"
  | ((input: Input, context: ToolContext) => ApprovalNeed | PromiseLike<ApprovalNeed>);

/** Whether one call needs an approval: the reason or the whole question where it does, or true; else false or undefined. */
export type ApprovalNeed = string | ApprovalQuestion | boolean | undefined;

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const ANY_OBJECT = { type: "object", properties: {}, additionalProperties: true } as const;

/**
 * Makes a tool of a function, for `tools` in ThreadManagerOptions or ThreadConfig.
 *
 * @throws InvalidRequestError for a name that models would not accept, or an input schema that cannot be shown to them.
 */
export function tool<Input = Record<string, unknown>>(options: ToolOptions<Input>): Tool {
  if (typeof options?.execute !== "function") throw new InvalidRequestError("tool: `execute`: must be a function");
  if (typeof options.name !== "string" || !NAME.test(options.name)) {
    throw new InvalidRequestError(`tool name \`${options.name}\` must be 1 to 64 letters, digits, \`_\` or \`-\``);
  }
  const { approval } = options;
  if (approval !== undefined && approval !== "always" && typeof approval !== "function") {
    throw new InvalidRequestError(
      `tool \`${options.name}\`: \`approval\` is "always", or a function that says what to ask`,
    );
  }
  const spec: ToolSpec = {
    type: "function",
    name: options.name,
    description: options.description,
    parameters: options.inputJsonSchema ?? describeInput(options.name, options.input),
    strict: false,
  };
  return {
    spec,
    ...(options.idempotent === true && { idempotent: true }),
    ...(approval !== undefined && {
      asksFirst: async (rawArguments: string, context: ToolContext) =>
        questionOf(approval, await readArguments(rawArguments, options.input), context),
    }),
    async call(rawArguments, context) {
      return outputText(await options.execute(await readArguments(rawArguments, options.input), context));
    },
  };
}

function describeInput(name: string, schema: StandardSchema | undefined): JsonSchema {
  const described = schema === undefined ? ANY_OBJECT : jsonSchemaOf(schema, "input");
  if (described !== undefined) return described;
  throw new InvalidRequestError(
    `tool \`${name}\`: give \`inputJsonSchema\`, since its schema cannot be shown to a model as it is`,
  );
}

async function questionOf<Input>(
  approval: ToolApproval<Input>,
  input: Input,
  context: ToolContext,
): Promise<ApprovalQuestion | undefined> {
  const asked = approval === "always" ? true : await approval(input, context);
  if (asked === undefined || asked === false) return undefined;
  if (asked === true) return {};
  return typeof asked === "string" ? { reason: asked } : asked;
}

async function readArguments<Input>(raw: string, schema: StandardSchema<Input> | undefined): Promise<Input> {
  let value: unknown;
  try {
    value = raw.trim() === "" ? {} : JSON.parse(raw);
  } catch (error) {
    throw new InvalidRequestError(`failed to parse function arguments: ${textOfThrown(error)}`);
  }
  if (schema === undefined) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Input;
    throw new InvalidRequestError("failed to parse function arguments: expected a JSON object");
  }
  const result = await validate(schema, value);
  if (result.ok) return result.value;
  throw new InvalidRequestError(`failed to parse function arguments: ${result.problem}`);
}

function outputText(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined ? "" : (JSON.stringify(value) ?? String(value));
}
