import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError } from "../../../src/protocol/errors.ts";
import { type PostgresStoreOptions, postgresStore } from "../../../src/store/postgres/postgres-store.ts";

const pool = { connect: () => undefined };
const wrong: readonly [string, unknown, RegExp][] = [
  ["neither", {}, /either a connectionString or a pool/],
  ["both", { connectionString: "postgres://x", pool }, /either a connectionString or a pool/],
  ["no pool", { pool: {} }, /pool: must be a pool/],
  ["a pool of one", { pool: { ...pool, options: { max: 1 } } }, /at least two connections/],
  ["a name that needs quotes", { connectionString: "postgres://x", schema: 'a"; --' }, /schema: must be a plain/],
  [
    "an address of another form",
    { connectionString: "u:opensesame@127.0.0.1/db" },
    /^(?!.*opensesame).*connectionString: must be an address such as/s,
  ],
  ["an unknown option", { connectionString: "postgres://x", conectionString: "y" }, /conectionString/],
  ["a deadline of nothing", { connectionString: "postgres://x", statementMs: 0 }, /statementMs/],
];

for (const [what, options, message] of wrong) {
  test(`${what} is refused before anything is opened`, () => {
    assert.throws(
      () => postgresStore(options as PostgresStoreOptions),
      (error) => error instanceof InvalidRequestError && message.test(error.message),
    );
  });
}
