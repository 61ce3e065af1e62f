import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { type LogLevel, stderrLog } from "../../src/cli/stderr-log.ts";

/** What reaches the stream at a level when each level is written to once, in an order of its own. */
async function written(level: LogLevel): Promise<object[]> {
  const stream = new PassThrough();
  const log = stderrLog(level, stream as unknown as NodeJS.WriteStream);
  log.info({ n: 1 }, "told");
  log.error({ n: 2, err: new TypeError("gone") }, "failed");
  log.debug("seen");
  log.warn({ n: 3 }, "odd");
  // A last line tells that all before it have come.
  if (level === "silent") return stream.read() ?? [];
  log.error("end");
  let text = "";
  for await (const chunk of stream) {
    text += chunk;
    if (text.includes('"end"')) break;
  }
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .map(({ level, n, msg, err }) => ({ level, n, msg, ...(err !== undefined && { err: err.message }) }));
}

test("lines of the level and above are written, in their order, as pino writes them", async () => {
  const end = { level: 50, n: undefined, msg: "end" };
  const failed = { level: 50, n: 2, msg: "failed", err: "gone" };
  const odd = { level: 40, n: 3, msg: "odd" };
  assert.deepEqual(await written("error"), [failed, end]);
  assert.deepEqual(await written("warn"), [failed, odd, end]);
  assert.deepEqual(await written("debug"), [
    { level: 30, n: 1, msg: "told" },
    failed,
    { level: 20, n: undefined, msg: "seen" },
    odd,
    end,
  ]);
  assert.deepEqual(await written("silent"), []);
});
