/** The tools of a thread by name: what is offered, whose name is taken, and what may be called once more. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { z } from "zod";
import { tool } from "../../src/index.ts";
import { ToolSet } from "../../src/turn/tool-set.ts";
import type { BuiltInTool } from "../../src/turn/tools/built-in-tool.ts";

const own = (name: string, more: object = {}) =>
  tool({ name, description: "", input: z.object({}), execute: async () => "ok", ...more });
const house = (name: string, more: object = {}): BuiltInTool =>
  ({ spec: { type: "function", name, description: "", parameters: {} }, ...more }) as unknown as BuiltInTool;

suite("a tool set", () => {
  const idempotent: [name: string, namespace: string | undefined, may: boolean][] = [
    ["again", undefined, true],
    ["once", undefined, false],
    ["unknown", undefined, false],
    ["again", "mcp", false],
    ["house_again", undefined, true],
    ["house_once", undefined, false],
  ];
  const tools = [own("again", { idempotent: true }), own("once")];
  const set = new ToolSet(tools, [house("house_again", { idempotent: true }), house("house_once")]);
  for (const [name, namespace, may] of idempotent) {
    test(`a call of ${namespace ?? ""} ${name} that was cut off ${may ? "may" : "may not"} be made once more`, () => {
      assert.equal(set.isIdempotent(name, namespace), may);
    });
  }

  test("refuses two tools of one name, and what is no tool, by name and place", () => {
    const refused = (message: RegExp) => ({ code: "invalid_request", message });
    assert.throws(() => new ToolSet([own("a"), own("a")]), refused(/two tools are named `a`/));
    assert.throws(() => new ToolSet([own("a")], [house("a")]), refused(/two tools are named `a`/));
    assert.throws(() => new ToolSet([own("a"), {} as never]), refused(/tools\[1\]: must be a tool/));
  });

  test("finds an embedder's tools by name, those of the house by theirs, and has none that was not given", () => {
    assert.equal(set.get("once"), tools[1]);
    assert.equal(
      set.builtIn("house_once")?.spec,
      set.specs.find((spec) => "name" in spec && spec.name === "house_once"),
    );
    assert.deepEqual([set.get("toString"), set.builtIn("once"), ToolSet.empty.specs], [undefined, undefined, []]);
  });
});
