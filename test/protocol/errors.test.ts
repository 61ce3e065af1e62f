import assert from "node:assert/strict";
import { test } from "node:test";
import * as errors from "../../src/protocol/errors.ts";
import * as modelError from "../../src/protocol/model-error.ts";

const { ERROR_REGISTRY, SkeinError } = errors;
const BRAND = Symbol.for("skein.error");

type Concrete = { readonly code: errors.ErrorCode; new (...args: never[]): errors.SkeinError };

const isConcrete = (value: unknown): value is Concrete =>
  typeof value === "function" && value.prototype instanceof Error && value !== SkeinError;

const exported: unknown[] = [...Object.values(errors), ...Object.values(modelError)];
const classes = exported.filter(isConcrete);
const make = (each: Concrete): errors.SkeinError => Reflect.construct(each, ["some text", 3]);

test("classes and registry entries are the same set, one class a code", () => {
  const codes = classes.map((each) => each.code);
  assert.deepEqual([...codes].sort(), Object.keys(ERROR_REGISTRY).sort());
});

for (const each of classes) {
  test(`${each.name} is branded, named, and tells its code, number and retryability`, () => {
    const error = make(each);
    const entry = ERROR_REGISTRY[each.code];
    assert.ok(error instanceof Error && error instanceof SkeinError && error instanceof each);
    assert.equal(Reflect.get(error, BRAND), true);
    assert.equal(error.name, each.name);
    assert.equal(error.code, each.code);
    assert.equal(error.rpcCode, entry.rpc);
    assert.ok(Number.isInteger(error.rpcCode) && error.rpcCode <= -32000 && error.rpcCode >= -32768);
    assert.equal(error.retryable, entry.retryable);
    assert.notEqual(error.message, "");
    const json = JSON.parse(JSON.stringify(error));
    assert.deepEqual(
      [json.name, json.code, json.message, json.retryable],
      [each.name, each.code, error.message, error.retryable],
    );
  });

  test(`no other class claims a ${each.name}`, () => {
    const error = make(each);
    const claimants = classes.filter((other) => error instanceof other);
    assert.deepEqual(claimants, [each]);
  });
}

test("instanceof holds across a second copy of the package", async () => {
  const copy: typeof errors = await import(`${"../../src/protocol/errors.ts"}?copy=2`);
  assert.notEqual(copy.ThreadNotFoundError, errors.ThreadNotFoundError);
  const error = new copy.ThreadNotFoundError("x");
  assert.ok(error instanceof errors.ThreadNotFoundError);
  assert.ok(error instanceof SkeinError);
  assert.equal((error as unknown) instanceof errors.ThreadBusyError, false);
});

test("what is no error of ours is not claimed", () => {
  for (const value of [new Error("x"), { code: "thread_not_found" }, null, undefined, "thread_not_found"]) {
    assert.equal((value as unknown) instanceof SkeinError, false);
    assert.equal((value as unknown) instanceof errors.ThreadNotFoundError, false);
  }
});

test("a model error says itself whether it may be tried again", () => {
  assert.equal(new modelError.ModelError("x").retryable, false);
  const error = new modelError.ModelError("x", { retryable: true, info: "internal_server_error", httpStatus: 500 });
  assert.equal(error.retryable, true);
  assert.equal(error.toJSON().retryable, true);
  assert.equal(error.toJSON().codexErrorInfo, "internal_server_error");
});

test("Codex's texts are kept where Codex has them", () => {
  assert.equal(new errors.ThreadNotFoundError("U").message, "no thread with id: U");
  assert.match(
    new errors.SessionConfiguredNotFirstEventError().message,
    /^session configured event was not the first event in the stream/,
  );
  assert.match(new errors.ThreadClosedError("U").message, /internal error; agent loop died unexpectedly/);
});

test("a closed thread gives back the op that it did not take, and keeps the cause", () => {
  const op = { type: "interrupt" };
  const cause = new Error("why");
  const error = new errors.ThreadClosedError("U", op, cause);
  assert.equal(error.op, op);
  assert.equal(error.cause, cause);
});
