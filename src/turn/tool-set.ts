import type { ToolSpec } from "../model/model-client.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { Tool } from "./tool.ts";

/** The tools of one thread by name. Immutable, so that threads with the same tools share one. */
export class ToolSet {
  static readonly empty = new ToolSet([]);

  readonly specs: readonly ToolSpec[];
  readonly #byName: ReadonlyMap<string, Tool>;

  /** @throws InvalidRequestError when two tools have one name. */
  constructor(tools: readonly Tool[]) {
    const byName = new Map<string, Tool>();
    for (const tool of tools) {
      if (byName.has(tool.spec.name)) throw new InvalidRequestError(`two tools are named \`${tool.spec.name}\``);
      byName.set(tool.spec.name, tool);
    }
    this.#byName = byName;
    this.specs = tools.map((tool) => tool.spec);
  }

  get(name: string): Tool | undefined {
    return this.#byName.get(name);
  }
}
