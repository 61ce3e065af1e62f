/** The pictures of the machines: what is read from a machine, where it is drawn, and that docs/machines shows them as they are. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { and, createActor, not, or, setup } from "xstate";
import { activeStates, type Chart, chartOf } from "../../machines/chart.ts";
import { groupMachine, restartMachine, supervisorMachine, threadMachine, turnMachine } from "../../machines/index.ts";
import { type Drawing, type DrawnState, layOut } from "../../src/drawing/layout.ts";
import { svgOf } from "../../src/drawing/svg.ts";
import { FOLDER, pictures } from "./pictures.ts";

const everyMachine = [supervisorMachine, threadMachine, turnMachine, restartMachine, groupMachine];

const example = setup({
  types: { events: {} as { type: "go" } | { type: "stop" } | { type: "look" } },
  guards: { one: () => true, two: () => true, three: () => true },
  actions: { note: () => undefined, begin: () => undefined },
}).createMachine({
  id: "example",
  initial: "outer",
  on: { stop: ".over" },
  states: {
    outer: {
      initial: "near",
      entry: "begin",
      on: { go: { target: "over", guard: and(["one", or(["two", not("three")])]) }, look: { actions: "note" } },
      states: { near: { tags: ["calm"], after: { 50: "far" } }, far: { on: { go: "#example.over" } } },
    },
    over: { type: "final" },
  },
});

suite("a machine's chart", () => {
  const chart = chartOf(example);
  const words = chart.transitions.map(
    ({ from, to, event, guard, actions }) => `${from} ${event} ${guard} ${to} ${actions}`,
  );

  test("has every transition, with the names of guards however they are joined", () => {
    assert.deepEqual(words.toSorted(), [
      " stop undefined over ",
      "outer go one && (two || !three) over ",
      "outer look undefined undefined note",
      "outer.far go undefined over ",
      "outer.near after 50 ms undefined outer.far ",
    ]);
  });

  test("shows a delay as a transition alone, not as the timer behind it", () => {
    const [outer] = chart.root.states;
    const [near] = outer?.states ?? [];
    assert.deepEqual([outer?.entry, near?.entry, near?.exit, near?.tags], [["begin"], [], [], ["calm"]]);
  });

  test("is plain data", () => assert.deepEqual(JSON.parse(JSON.stringify(chart)).id, "example"));

  test("names the states that a snapshot is in", () => {
    const actor = createActor(example).start();
    assert.deepEqual(activeStates(actor.getSnapshot().value), ["outer", "outer.near"]);
    actor.stop();
    assert.deepEqual(activeStates({ a: { b: "c", d: {} }, e: "f" }), ["a", "a.b", "a.b.c", "a.d", "e", "e.f"]);
  });

  test("no word of a machine is a name that XState has made up", () => {
    for (const machine of everyMachine)
      assert.doesNotMatch(JSON.stringify(chartOf(machine)), /xstate\.|"inline"|\d\.\w+\./);
  });
});

/** Whether one box is in another; the edges may touch. */
const isWithin = (inner: DrawnState, outer: DrawnState): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height;

const overlap = (a: DrawnState, b: DrawnState): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

const isAncestor = (outer: DrawnState, inner: DrawnState): boolean =>
  outer.state.id === "" || inner.state.id.startsWith(`${outer.state.id}.`);

function checkBoxes({ states, width, height }: Drawing): void {
  for (const a of states) {
    for (const b of states) {
      if (a === b) continue;
      if (isAncestor(a, b)) assert.ok(isWithin(b, a), `${b.state.id} is within ${a.state.id || "the machine"}`);
      else if (!isAncestor(b, a)) assert.ok(!overlap(a, b), `${a.state.id} and ${b.state.id} are apart`);
    }
    assert.ok(a.x >= 0 && a.y >= 0 && a.x + a.width <= width && a.y + a.height <= height);
  }
}

/** Every transition stands once: at an edge, or in its state's box. */
function checkWays(chart: Chart, { states, edges }: Drawing): void {
  const drawn = edges.flatMap(({ transitions }) => transitions);
  const listed = chart.transitions.filter((way) => !drawn.includes(way));
  assert.equal(new Set(drawn).size, drawn.length);
  for (const { from, event, to } of listed) {
    const box = states.find(({ state }) => state.id === from);
    assert.ok(
      box?.lines.some((line) => line.startsWith(event)),
      `${from}: ${event} → ${to} is shown`,
    );
  }
}

suite("a drawing", () => {
  for (const machine of [...everyMachine, example]) {
    test(`of ${machine.id}: boxes lie in each other or apart, and every transition is there`, () => {
      const chart = chartOf(machine);
      const drawing = layOut(chart);
      checkBoxes(drawing);
      checkWays(chart, drawing);
      for (const { points } of drawing.edges) assert.ok(points.length >= 2);
      assert.deepEqual(layOut(chart), drawing);
    });
  }

  test("names each state for whoever lights it, and no name becomes markup", () => {
    const hostile = setup({}).createMachine({
      id: 'a"><script>',
      initial: "<b>",
      states: { "<b>": { on: { "&": "c" } }, c: {} },
    });
    const svg = svgOf(layOut(chartOf(hostile)));
    assert.match(svg, /data-state="&lt;b&gt;"/);
    assert.doesNotMatch(svg, /<script>|<b>/);
  });
});

test("docs/machines shows the machines as they are (else: npm run draw)", () => {
  const made = pictures();
  assert.deepEqual(readdirSync(FOLDER).toSorted(), made.map(([name]) => name).toSorted());
  for (const [name, svg] of made) assert.equal(readFileSync(new URL(name, FOLDER), "utf8"), svg, name);
});
