import type { ToolSpec } from "../model/model-client.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import type { Tool } from "./tool.ts";
import type { BuiltInTool } from "./tools/built-in-tool.ts";

/** The tools of one thread by name. Immutable, so that threads with the same tools share one. */
export class ToolSet {
  static readonly empty = new ToolSet([]);

  readonly specs: readonly ToolSpec[];
  readonly #byName: ReadonlyMap<string, Tool>;
  readonly #builtIns: ReadonlyMap<string, BuiltInTool>;

  /** @throws InvalidRequestError when two tools have one name, or one is no tool. */
  constructor(tools: readonly Tool[], builtIns: readonly BuiltInTool[] = []) {
    const wrong = tools.findIndex((tool) => !isTool(tool));
    if (wrong !== -1) throw new InvalidRequestError(`tools[${wrong}]: must be a tool, as made by \`tool(...)\``);
    this.#builtIns = new Map(builtIns.map((tool) => [tool.spec.name, tool]));
    this.#byName = new Map(tools.map((tool) => [tool.spec.name, tool]));
    this.specs = [...builtIns, ...tools].map((tool) => tool.spec);
    const names = this.specs.map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw new InvalidRequestError(`two tools are named \`${twice}\``);
  }

  get(name: string): Tool | undefined {
    return this.#byName.get(name);
  }

  builtIn(name: string): BuiltInTool | undefined {
    return this.#builtIns.get(name);
  }

  /** These tools and further built-in ones. One whose name is taken already is left out. */
  with(builtIns: readonly BuiltInTool[]): ToolSet {
    const added = builtIns.filter(({ spec: { name } }) => !this.#byName.has(name) && !this.#builtIns.has(name));
    return new ToolSet([...this.#byName.values()], [...this.#builtIns.values(), ...added]);
  }
}

function isTool(value: unknown): value is Tool {
  if (!isJsonObject(value) || !isJsonObject(value.spec)) return false;
  return typeof value.spec.name === "string" && typeof value.call === "function";
}
