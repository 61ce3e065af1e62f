import { test } from "node:test";
import { expectTypeOf } from "expect-type";
import { RwMutex } from "../../src/kernel/rw-mutex.ts";

test("a function under the lock cannot return a promise", () => {
  const lock = new RwMutex();
  const neverRun = () => {
    // @ts-expect-error an async function
    lock.read(async () => 1);
    // @ts-expect-error a promise
    lock.write(() => Promise.resolve(1));
    // @ts-expect-error perhaps a promise
    lock.write(() => lock.read(() => 1));
    // @ts-expect-error perhaps a promise
    lock.read((): number | Promise<number> => 1);
  };
  void neverRun;
});

test("the result is what the function returns, perhaps by promise", () => {
  const lock = new RwMutex();
  expectTypeOf(lock.read(() => 1)).toEqualTypeOf<number | Promise<number>>();
  expectTypeOf(lock.read(() => new Map<string, number>())).toEqualTypeOf<
    Map<string, number> | Promise<Map<string, number>>
  >();
  expectTypeOf(lock.write(() => {})).toEqualTypeOf<void | Promise<void>>();
  expectTypeOf(lock.read((): string | undefined => undefined)).toEqualTypeOf<
    string | undefined | Promise<string | undefined>
  >();
  expectTypeOf(lock.read((): boolean => true)).toEqualTypeOf<boolean | Promise<boolean>>();
});
