/** PROTOCOL.md's table by method, held against the server's own list. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { serve } from "./test-client.ts";

const quoted = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? "");

test("every method is in PROTOCOL.md's table, once, and the table names no other", async () => {
  const protocol = await readFile(new URL("../../PROTOCOL.md", import.meta.url), "utf8");
  const rows = protocol
    .split("\n")
    .filter((line) => /^\| `[^|]+ \| (works|empty|refused)\b[^|]* \| 0\.\d+[^|]* \|$/.test(line));
  const listed = rows.flatMap((row) => quoted(row.split("|")[1] ?? ""));
  await using served = await serve();
  const { message } = await served.client.failure("nope", {});
  const known = quoted(message.slice(message.indexOf("expected")));
  assert.deepEqual(listed.toSorted(), known.toSorted());
  assert.equal(new Set(listed).size, listed.length);
});
