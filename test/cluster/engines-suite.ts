/** The engines from npm: fetched once, on loopback, and gone with whoever started them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { EngineError, engineCache, enginePackage } from "../../src/cli/engines/engine-package.ts";
import { PostgresEngine } from "../../src/cli/engines/postgres-engine.ts";
import { RestateEngine } from "../../src/cli/engines/restate-engine.ts";

const SMALL = {
  title: "a small engine",
  name: (system: string) => `@esbuild/${system}`,
  version: "0.28.1",
  unpackedMb: 10,
};

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => resolve(true));
    socket.once("error", () => resolve(false)).once("close", () => socket.destroy());
    socket.once("connect", () => socket.destroy());
  });

async function eventually(what: string, holds: () => Promise<boolean> | boolean, ms = 20_000): Promise<void> {
  for (const until = Date.now() + ms; !(await holds()); await delay(50)) {
    assert.ok(Date.now() < until, `not within ${ms} ms: ${what}`);
  }
}

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "skein-cache-"));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

suite("engines", { timeout: 300_000 }, () => {
  test("both end, and their folders go, when their owner is killed", async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, "engines-child.ts")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(createInterface({ input: child.stdout }), "line");
    const { folders, ports } = JSON.parse(String(line)) as { folders: string[]; ports: number[] };
    for (const port of ports) assert.equal(await answers(port), true);
    child.kill("SIGKILL");
    for (const port of ports) await eventually(`port ${port} is free`, async () => !(await answers(port)));
    for (const folder of folders) await eventually(`${folder} is gone`, () => !existsSync(folder));
  });

  test("a server that was killed comes back over its data; one that ends in order leaves nothing", async () => {
    const host = { cache: engineCache(process.env) };
    await using stack = new AsyncDisposableStack();
    const engines = [stack.use(await PostgresEngine.create(host)), stack.use(await RestateEngine.create(host))];
    for (const engine of engines) {
      await engine.kill();
      await engine.start();
      await engine[Symbol.asyncDispose]();
      assert.equal(existsSync(engine.place.folder), false);
    }
  });

  test("nothing listens off the loopback", async () => {
    await using restate = await RestateEngine.create({ cache: engineCache(process.env) });
    const listening = spawn("sh", ["-c", "cat /proc/net/tcp /proc/net/tcp6"], { stdio: ["ignore", "pipe", "ignore"] });
    let table = "";
    for await (const chunk of listening.stdout) table += String(chunk);
    for (const port of Object.values(restate.place.ports)) {
      const hex = port.toString(16).toUpperCase().padStart(4, "0");
      const rows = table.split("\n").filter((row) => row.includes(`:${hex} `) && / 0A /.test(row));
      assert.deepEqual(
        rows.map((row) => /\d+: (\w+):/.exec(row)?.[1]),
        ["0100007F"],
      );
    }
  });

  test("two processes that fetch at once get the same folder, and the cache holds nothing else", async () => {
    using cache = new Folder();
    const said: string[] = [];
    const host = { cache: cache.path, onProgress: (text: string) => said.push(text) };
    const [one, other] = await Promise.all([enginePackage(SMALL, host), enginePackage(SMALL, host)]);
    assert.equal(one, other);
    assert.ok(existsSync(join(one, "package.json")));
    assert.equal(readdirSync(cache.path).length, 1);
    assert.match(said[0] ?? "", /fetching a small engine 0\.28\.1 from npm \(10 MB unpacked, once\)/);
    said.length = 0;
    await enginePackage(SMALL, host);
    assert.deepEqual(said, []);
  });

  test("an interruption while it fetches is over at once, and leaves nothing", async () => {
    using cache = new Folder();
    const controller = new AbortController();
    const fetching = enginePackage(SMALL, { cache: cache.path, signal: controller.signal });
    setTimeout(() => controller.abort(new Error("interrupted")), 200);
    await assert.rejects(fetching, /interrupted/);
    assert.deepEqual(readdirSync(cache.path), []);
  });

  test("what npm does not have is told in one line, and leaves nothing", async () => {
    using cache = new Folder();
    await assert.rejects(enginePackage({ ...SMALL, version: "0.0.999" }, { cache: cache.path }), (error) => {
      assert.ok(error instanceof EngineError);
      assert.match(error.message, /npm could not fetch @esbuild\/.*@0\.0\.999: .*No matching version/);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
    assert.deepEqual(readdirSync(cache.path), []);
  });

  test("a cache that can't be written is told by its name, with what to do", async () => {
    const cache = join(import.meta.filename, "cache");
    await assert.rejects(
      PostgresEngine.create({ cache }),
      (error) =>
        error instanceof EngineError &&
        error.message.includes(`${cache} (ENOTDIR)`) &&
        /SKEIN_CACHE/.test(error.message),
    );
  });

  test("without npm the error says what is needed", async () => {
    using cache = new Folder();
    const path = process.env.PATH;
    process.env.PATH = cache.path;
    try {
      await assert.rejects(enginePackage(SMALL, { cache: join(cache.path, "c") }), /npm is needed .* not on the PATH/);
    } finally {
      process.env.PATH = path;
    }
  });

  test("a server that cannot start says why, and ends", async () => {
    using cache = new Folder();
    const program = join(cache.path, "broken");
    writeFileSync(program, "#!/bin/sh\necho the disk is full\nexit 3\n", { mode: 0o755 });
    const ports = { ingress: 1, admin: 1, node: 1 };
    const engine = new RestateEngine({ folder: cache.path, program, ip: "127.0.0.1", ports, nodeName: "n1" });
    await assert.rejects(engine.start(), /restate-server did not start:\nthe disk is full/);
  });
});
