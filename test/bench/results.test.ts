/** What benches print is put together by cases, bounded in time, and drawn. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runBounded } from "../../bench/bounded-run.ts";
import { svgOf } from "../../bench/chart.ts";
import { merged } from "../../bench/summary.ts";
import { shownAs } from "../../bench/units.ts";

const one = (median: number) => ({ median, min: median, max: median, n: 1 });

test("rounds of one case become one line: the median of the rounds and the extremes of all", () => {
  const line = (messages: number, us: number) => ({ bench: "fork", case: "live", messages, us: one(us) });
  const rounds = [line(10, 5), line(1_000, 50), line(10, 9), line(10, 7)];
  assert.deepEqual(merged(rounds), [
    { bench: "fork", case: "live", messages: 10, us: { median: 7, min: 5, max: 9, n: 3 } },
    { bench: "fork", case: "live", messages: 1_000, us: one(50) },
  ]);
});

test("a program that hangs is ended with its children, and one that fails is told; what they printed is kept", async () => {
  const hanging = await runBounded({
    command: ["sh", "-c", `echo '{"a":1}'; echo words; sleep 60 & sleep 60`],
    seconds: 1,
  });
  assert.deepEqual([hanging.lines, hanging.failure], [[{ a: 1 }], "took longer than 1 s"]);
  assert.ok(hanging.seconds < 30, "the sleep beside it holds its output no more");
  const failing = await runBounded({ command: ["sh", "-c", `echo '{"a":2}'; exit 3`], seconds: 30 });
  assert.deepEqual([failing.lines, failing.failure], [[{ a: 2 }], "ended with code 3"]);
  assert.match((await runBounded({ command: ["/nowhere/program"], seconds: 5 })).failure ?? "", /ENOENT/);
});

test("a plot has a mark for each point and a name for each series, whatever they are called", () => {
  const points = [10, 1_000].map((x) => ({ x, y: x * 2, min: x, max: x * 3 }));
  const chart = { title: "A & B", along: "size", up: "time", shown: (y: number) => shownAs("us", y) };
  const svg = svgOf({
    ...chart,
    series: [
      { label: "<one>", points },
      { label: "two", points },
    ],
  });
  assert.match(svg, /A &amp; B/);
  assert.match(svg, /&lt;one>/);
  assert.equal(svg.match(/<circle/g)?.length, 3);
  assert.ok(!/NaN|Infinity|undefined/.test(svg), svg);
  assert.throws(() => svgOf({ ...chart, series: [] }), /nothing to draw/);
});

test("figures are shown in the unit that their name says", () => {
  const shown = [
    shownAs("usPerSpawn", 0.5),
    shownAs("resumeUs", 12_345),
    shownAs("heapBytes", 4_096),
    shownAs("ms", 96),
  ];
  assert.deepEqual(shown, ["500 ns", "12.3 ms", "4 KiB", "96 ms"]);
});
