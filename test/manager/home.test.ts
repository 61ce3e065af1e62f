import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type OpenedHome, openHome } from "../../src/manager/home.ts";
import type { ModelSource } from "../../src/manager/options.ts";
import { resolveThreadConfig } from "../../src/protocol/thread-config.ts";

async function opened(t: TestContext, config = ""): Promise<OpenedHome & { models: ModelSource }> {
  const home = await mkdtemp(join(tmpdir(), "skein-home-"));
  await writeFile(join(home, "config.toml"), config);
  const found = await openHome({ home, env: {}, cwd: home });
  t.after(async () => {
    await found.close();
    await rm(home, { recursive: true });
  });
  return { ...found, models: found.options.model as ModelSource };
}

const provider = (name: string) => ({ [name]: { name, base_url: "http://127.0.0.1:1/v1" } });

const idOf = ({ models }: { models: ModelSource }, modelProvider: string): string =>
  models.clientFor(resolveThreadConfig({ cwd: "/w", modelProvider })).providerId;

test("a provider that one request names stays known when the next request names another one", async (t) => {
  const home = await opened(t);
  await home.reload({ config: { model_provider: "one", model_providers: provider("one") } });
  await home.reload({ config: { model_provider: "two", model_providers: provider("two") } });
  await home.reload();
  assert.deepEqual([idOf(home, "one"), idOf(home, "two")], ["one", "two"]);
  assert.throws(() => idOf(home, "three"), { code: "invalid_request", message: "Model provider `three` not found" });
});

test("a provider that config.toml names later can be used", async (t) => {
  const home = await opened(t);
  await writeFile(join(home.home, "config.toml"), '[model_providers.late]\nbase_url = "http://127.0.0.1:1/v1"\n');
  await home.reload();
  assert.equal(idOf(home, "late"), "late");
});
