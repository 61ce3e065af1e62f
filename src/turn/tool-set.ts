import { flatName } from "../model/conversation.ts";
import type { ToolNamespace } from "../model/model-client.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { Tool, ToolSpec } from "../protocol/function-tool.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import type { BuiltInTool } from "./tools/built-in-tool.ts";

/** The tools of one thread by name. Immutable, so that threads with the same tools share one. */
export class ToolSet {
  static readonly empty = new ToolSet([]);

  /** As the model is offered them. */
  readonly specs: readonly (ToolSpec | ToolNamespace)[];
  readonly #byName: ReadonlyMap<string, Tool>;
  /** By their names with the namespace before it, so that a model that knows none can call them as well. */
  readonly #builtIns: ReadonlyMap<string, BuiltInTool>;

  /** @throws InvalidRequestError when two tools have one name, or one is no tool. */
  constructor(tools: readonly Tool[], builtIns: readonly BuiltInTool[] = []) {
    const wrong = tools.findIndex((tool) => !isTool(tool));
    if (wrong !== -1) throw new InvalidRequestError(`tools[${wrong}]: must be a tool, as made by \`tool(...)\``);
    this.#byName = new Map(tools.map((tool) => [fullNameOf(tool), tool]));
    const offered = builtIns.filter((tool) => tool.offered !== "alias");
    const aliases = builtIns.filter((tool) => tool.offered === "alias" && !this.#byName.has(fullNameOf(tool)));
    this.#builtIns = new Map([...aliases, ...offered].map((tool) => [fullNameOf(tool), tool]));
    this.specs = [...grouped(offered), ...grouped(tools)];
    const names = [...offered.map(fullNameOf), ...tools.map(fullNameOf)];
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw new InvalidRequestError(`two tools are named \`${twice}\``);
  }

  get(name: string, namespace?: string): Tool | undefined {
    return this.#byName.get(flatName(namespace, name));
  }

  builtIn(name: string, namespace?: string): BuiltInTool | undefined {
    return this.#builtIns.get(flatName(namespace, name));
  }

  /** Whether a call that was cut off may be made once more. */
  isIdempotent(name: string, namespace: string | undefined): boolean {
    const builtIn = this.builtIn(name, namespace);
    if (builtIn !== undefined) return builtIn.idempotent === true;
    return this.get(name, namespace)?.idempotent === true;
  }

  /** These tools and further built-in ones. One whose name is taken already is left out. */
  with(builtIns: readonly BuiltInTool[]): ToolSet {
    const added = builtIns.filter((tool) => {
      const name = fullNameOf(tool);
      return !this.#byName.has(name) && !this.#builtIns.has(name);
    });
    return new ToolSet([...this.#byName.values()], [...this.#builtIns.values(), ...added]);
  }
}

type Named = Pick<BuiltInTool, "spec" | "namespace">;

function fullNameOf({ spec, namespace }: Named): string {
  return flatName(namespace?.name, spec.name);
}

/** The tools of a namespace together, where the first of them stands. */
function grouped(all: readonly Named[]): (ToolSpec | ToolNamespace)[] {
  return all.flatMap(({ spec, namespace }, index): (ToolSpec | ToolNamespace)[] => {
    if (namespace === undefined) return [spec];
    const isFirst = all.findIndex((other) => other.namespace === namespace) === index;
    if (!isFirst) return [];
    const tools = all.filter((other) => other.namespace === namespace).map((other) => other.spec);
    return [{ type: "namespace", ...namespace, tools }];
  });
}

function isTool(value: unknown): value is Tool {
  if (!isJsonObject(value) || !isJsonObject(value.spec)) return false;
  return typeof value.spec.name === "string" && typeof value.call === "function";
}
