/** Plans within messages: however a message comes in pieces, the same text and the same plan are in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PlanSplitter, splitPlan } from "../../src/turn/proposed-plan.ts";

const line = fc.constantFrom(
  ...["<proposed_plan>", "</proposed_plan>", "  <proposed_plan> ", "text", "", " ", "<", "<prop", "<proposed_plan> x"],
  ...["# Plan", "</proposed_plan", "a <proposed_plan>"],
);

test("the pieces of a message do not matter, and what streams is what is whole", () => {
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 9 }),
      fc.boolean(),
      fc.infiniteStream(fc.nat(7)),
      (lines, isEnded, sizes) => {
        const message = lines.join("\n") + (isEnded ? "\n" : "");
        const splitter = new PlanSplitter();
        const parts = [];
        for (let at = 0; at < message.length; ) {
          const size = 1 + (sizes.next().value ?? 0);
          parts.push(...splitter.take(message.slice(at, at + size)));
          at += size;
        }
        parts.push(...splitter.end());
        const { text, plan } = splitPlan(message);
        assert.deepEqual([splitter.text, splitter.plan], [text, plan]);
        const said = parts.flatMap((part) => (part.type === "text" ? part.text : [])).join("");
        assert.equal(said, text);
        const planned = parts.flatMap((part) => (part.type === "plan" ? part.text : [])).join("");
        assert.ok(planned.endsWith(plan ?? ""), "the last of several plans");
        if (!/^ *<proposed_plan> *$/m.test(message)) assert.equal(text, message);
      },
    ),
    { numRuns: 2_000 },
  );
});

test("a plan is what stands between the lines of its tags; one without an end lasts to the message's end", () => {
  const cases: [message: string, text: string, plan: string | undefined][] = [
    ["no plan", "no plan", undefined],
    ["a\n<proposed_plan>\np\n</proposed_plan>\nb", "a\nb", "p\n"],
    ["<proposed_plan>\nopen", "", "open"],
    ["<proposed_plan>\n1\n</proposed_plan>\n<proposed_plan>\n2\n</proposed_plan>\n", "", "2\n"],
    ["say <proposed_plan> here", "say <proposed_plan> here", undefined],
    ["<proposed_plan>\r\np\r\n</proposed_plan>\r\n", "", "p\r\n"],
    ["<proposed_plan>", "", ""],
    ["</proposed_plan>\n", "</proposed_plan>\n", undefined],
  ];
  for (const [message, text, plan] of cases) {
    const split = splitPlan(message);
    assert.deepEqual([split.text, split.plan], [text, plan], message);
  }
});
