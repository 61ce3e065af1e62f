/** The examples that need no more than `Threads`, unchanged, over a cluster; the demo's orchestrator is in dev-suite.ts. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { memoryStore } from "../../src/index.ts";
import { endEngine, testCluster } from "./two-workers.ts";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** As on a manager, in their order. */
const OUTPUT: Readonly<Record<string, readonly RegExp[]>> = {
  "hello.mjs": [
    /^0 session_configured$/,
    /^ack: Hello!$/,
    /^\d+ task_started$/,
    /^\d+ task_complete$/,
    /^ack: Hello again!$/,
  ],
  "tournament.mjs": [/^round 1 ack: /, /^round 2 ack: /, /^round 3 ack: /, /^the winner's line: 3 ancestors$/],
};

suite("examples over a cluster", { timeout: 240_000 }, () => {
  after(endEngine);

  for (const [name, expected] of Object.entries(OUTPUT)) {
    test(name, async () => {
      await using cluster = await testCluster(memoryStore());
      const args = ["--no-warnings", "--import", at("./over-cluster.ts"), at(`../../examples/${name}`)];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
        env: { ...process.env, SKEIN_INGRESS: cluster.engine.ingress },
        timeout: 120_000,
      });
      assert.equal(stderr, "");
      const lines = stdout.trim().split("\n");
      let from = 0;
      for (const line of expected) {
        const found = lines.findIndex((printed, index) => index >= from && line.test(printed));
        assert.notEqual(found, -1, `${line} in:\n${stdout}`);
        from = found + 1;
      }
    });
  }
});
