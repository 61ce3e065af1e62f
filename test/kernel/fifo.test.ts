import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Fifo, type Place } from "../../src/kernel/fifo.ts";

test("a queue whose members may leave from anywhere behaves as an array does", () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.constant({ do: "push" as const, pick: 0 }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("insert" as const), pick: fc.nat({ max: 4 }) }) },
    { weight: 1, arbitrary: fc.constant({ do: "shift" as const, pick: 0 }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("walk" as const), pick: fc.nat({ max: 4 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const queue = new Fifo<number>();
      const places: Place<number>[] = [];
      let model: number[] = [];
      const remove = (number: number | undefined) => {
        const place = number === undefined ? undefined : places[number];
        if (place === undefined) return;
        assert.equal(queue.remove(place), model.includes(place.value));
        model = model.filter((other) => other !== number);
      };
      for (const { do: what, pick } of steps) {
        if (what === "push") {
          model.push(places.length);
          places.push(queue.push(places.length));
        } else if (what === "insert") {
          const isAfter = (other: number) => other % 5 > pick;
          model.splice(model.findLastIndex((other) => !isAfter(other)) + 1, 0, places.length);
          places.push(queue.insert(places.length, isAfter));
        } else if (what === "shift") assert.equal(queue.shift(), model.shift());
        else if (what === "remove") remove(places.length === 0 ? undefined : pick % places.length);
        else {
          const expected = [...model];
          const visited: number[] = [];
          queue.forEach((number) => {
            visited.push(number);
            if (number % 5 === pick) remove(number);
          });
          assert.deepEqual(visited, expected);
        }
        assert.equal(queue.size, model.length);
      }
      while (model.length > 0) assert.equal(queue.shift(), model.shift());
      assert.equal(queue.shift(), undefined);
    }),
  );
});

test("a place of one queue is no place of another", () => {
  const queue = new Fifo<string>();
  const place = queue.push("a");
  assert.equal(new Fifo<string>().remove(place), false);
  assert.equal(queue.size, 1);
});
