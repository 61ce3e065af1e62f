/** Where `skein app-server --listen unix://...` puts its socket. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { lstat, readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { start } from "./skein.ts";
import { tempFolder } from "./temp-home.ts";

for (const [listen, ...place] of [
  ["unix://", "home", "app-server-control", "app-server-control.sock"],
  ["unix://here.sock", "here.sock"],
  ["unix://./home/../here.sock", "here.sock"],
] as const) {
  test(`${listen} is ${place.join("/")}, and goes with the server`, { timeout: 60_000 }, async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, ...place);
    const child = start(["app-server", "--home", "home", "--listen", listen], { cwd: folder });
    t.after(() => child.kill("SIGKILL"));
    const [said] = await once(child.stderr, "data");
    assert.equal(String(said), `listening on unix://${path}\n`);
    const socket = connect(path);
    await once(socket, "connect");
    socket.destroy();
    assert.equal((await lstat(path)).mode & 0o777, 0o600);
    // What lies before the home's own socket is its owner's alone.
    if (listen === "unix://") assert.equal((await lstat(join(path, ".."))).mode & 0o777, 0o700);
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [0, null]);
    assert.deepEqual(
      (await readdir(join(path, ".."))).filter((name) => name !== "home"),
      [],
    );
  });
}
