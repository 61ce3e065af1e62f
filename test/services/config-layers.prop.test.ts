import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { layerConfig } from "../../src/services/config-layers.ts";
import { type ConfigTable, leavesOf, mergeTables, valueAt } from "../../src/services/config-table.ts";

const key = fc.constantFrom("a", "b", "c", "__proto__", "constructor");
const leaf = fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.array(fc.integer(), { maxLength: 2 }));
const table: fc.Arbitrary<ConfigTable> = fc.letrec<{ table: ConfigTable }>((tie) => ({
  table: fc.dictionary(key, fc.oneof({ depthSize: "small" }, leaf, tie("table")), { maxKeys: 4 }),
})).table;
const isSet = (value: unknown) => value !== undefined && value !== null;

/** The value that the topmost layer with a say on the path gives it; a table or a value above it hides it. */
function expectedAt(layers: readonly ConfigTable[], path: readonly string[]): unknown {
  for (const layer of layers.toReversed()) {
    const value = valueAt(layer, path);
    if (isSet(value)) return value;
    const blocked = path.some((_, length) => {
      const above = length === 0 ? undefined : valueAt(layer, path.slice(0, length));
      return isSet(above) && (typeof above !== "object" || Array.isArray(above));
    });
    if (blocked) return undefined;
  }
  return undefined;
}

test("the later layer wins, unset never overrides, and no key is lost", () => {
  fc.assert(
    fc.property(fc.array(table, { maxLength: 5 }), (layers) => {
      const merged = layers.reduce<ConfigTable>(mergeTables, {});
      const paths = [...layers, merged].flatMap((layer) => leavesOf(layer).map(({ path }) => path));
      for (const path of paths) {
        const expected = expectedAt(layers, path);
        const found = valueAt(merged, path);
        if (typeof expected === "object" && !Array.isArray(expected)) assert.equal(typeof found, "object");
        else assert.deepEqual(found, expected);
      }
      assert.ok(leavesOf(merged).every(({ value }) => isSet(value)));
    }),
  );
});

test("an empty layer changes nothing, nor does a layer over itself", () => {
  fc.assert(
    fc.property(table, (a) => {
      const clean = (layer: ConfigTable) => mergeTables({}, layer);
      assert.deepEqual(mergeTables(clean(a), clean(a)), clean(a));
      assert.deepEqual(mergeTables(clean(a), {}), clean(a));
      assert.deepEqual(mergeTables({}, clean(a)), clean(a));
    }),
  );
});

const name = fc.option(fc.constantFrom("m1", "m2", "m3"), { nil: undefined });
const layer = fc.record({ model: name, effort: name, unknown: name });

test("for any layers a setting is the nearest one's, and unknown keys reach `raw`", () => {
  fc.assert(
    fc.property(layer, layer, layer, layer, (defaults, process, request, typed) => {
      const entries = (each: typeof process) =>
        Object.entries({ model: each.model, model_reasoning_effort: each.effort, "x.unknown": each.unknown });
      const { config, raw } = layerConfig({
        cwd: "/",
        defaults: { model: defaults.model, reasoningEffort: defaults.effort },
        overrides: entries(process).map(([path, value]) => ({ keyPath: path.split("."), value })),
        request: Object.fromEntries(entries(request)),
        typed: { model: typed.model, reasoningEffort: typed.effort },
      });
      assert.equal(config.model, typed.model ?? request.model ?? process.model ?? defaults.model);
      assert.equal(config.reasoningEffort, typed.effort ?? request.effort ?? process.effort ?? defaults.effort);
      assert.equal(valueAt(raw, ["x", "unknown"]), request.unknown ?? process.unknown);
      assert.ok(!Object.values(config).includes(undefined));
    }),
  );
});
