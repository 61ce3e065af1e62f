import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoopback } from "../../src/kernel/loopback.ts";

test("this machine alone, and nothing that merely looks like it", () => {
  for (const host of ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LOCALHOST"])
    assert.ok(isLoopback(host), host);
  for (const host of [
    "127.0.0.1.example.org",
    "127.org",
    "localhost.example.org",
    "0.0.0.0",
    "::",
    "[::]",
    "10.0.0.127",
    "",
  ]) {
    assert.ok(!isLoopback(host), host);
  }
});
