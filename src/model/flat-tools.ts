/** Namespaces of tools for those who know none: a tool in one is shown, and called, as `NAMESPACE__NAME`. */
import type { ToolNamespace, ToolSpec } from "./model-client.ts";

export const flatName = (namespace: string | undefined, name: string): string =>
  namespace === undefined ? name : `${namespace}__${name}`;

export const flatTools = (tools: readonly (ToolSpec | ToolNamespace)[]): ToolSpec[] =>
  tools.flatMap((tool) =>
    tool.type === "function"
      ? [tool]
      : tool.tools.map((inner) => ({ ...inner, name: flatName(tool.name, inner.name) })),
  );
