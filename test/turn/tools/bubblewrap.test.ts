/** The sandbox with the real bubblewrap, where it is installed and may make namespaces. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { call } from "../../../src/model/script.ts";
import { bench, folder } from "./tool-turn.ts";

const works = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-net", "true"]).status === 0;
const options = { skip: works ? false : "bubblewrap is not installed, or may not make namespaces here" };

const sh = (command: string) => call("shell_command", { command, login: false });
const exitCodes = (outputs: readonly string[]) =>
  outputs.map((output) => /^Exit code: (\d+)/.exec(output)?.[1] ?? output);

test("read-only: reads anything, writes nothing", options, async (t) => {
  const outside = await folder(t);
  const { thread, outputs, cwd } = await bench(
    t,
    [[sh("cat /etc/passwd > /dev/null"), sh("echo x > inside"), sh(`echo x > ${outside}/outside`)], "done"],
    { sandboxMode: "read-only" },
  );
  await thread.run("go");
  const [read, ...writes] = exitCodes(outputs());
  assert.equal(read, "0");
  assert.ok(
    writes.every((code) => code !== "0"),
    outputs().join("\n"),
  );
  assert.deepEqual([existsSync(join(cwd, "inside")), existsSync(join(outside, "outside"))], [false, false]);
});

test("workspace-write: writes into the workspace, its git folder excepted, and nowhere else", options, async (t) => {
  const outside = await folder(t);
  const { thread, outputs, cwd } = await bench(
    t,
    [[sh("echo x > inside; mkdir .git"), sh("echo x > .git/config"), sh(`echo x > ${outside}/outside`)], "done"],
    {
      sandboxPolicy: {
        type: "workspace-write",
        writable_roots: [],
        network_access: false,
        exclude_tmpdir_env_var: true,
        exclude_slash_tmp: true,
      },
    },
  );
  await thread.run("go");
  assert.equal(existsSync(join(cwd, "inside")), true);
  assert.notEqual(exitCodes(outputs()).at(-1), "0");
  assert.deepEqual([existsSync(join(cwd, ".git/config")), existsSync(join(outside, "outside"))], [false, false]);
});

test("without network access, not even loopback can be reached", options, async (t) => {
  const server = createServer((socket) => socket.end());
  let connections = 0;
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const connect = sh(`exec 3<>/dev/tcp/127.0.0.1/${port}`);
  const { thread, outputs } = await bench(t, [[connect], "done"], { sandboxMode: "workspace-write" });
  await thread.run("go");
  assert.notEqual(exitCodes(outputs())[0], "0");
  assert.equal(connections, 0);
});
