import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileStore, scriptedClient, ThreadManager } from "../../src/index.ts";

/** A folder of the test's own, removed at its end. */
export async function tempFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "skein-cli-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A home whose config.toml names a Responses server. */
export async function homeWithProvider(t: TestContext, baseUrl: string, more = ""): Promise<string> {
  const home = await tempFolder(t);
  const provider = `[model_providers.loop]\nname = "Loop"\nbase_url = "${baseUrl}"\nrequest_max_retries = 0\n`;
  await writeFile(
    join(home, "config.toml"),
    `model = "m-1"\nmodel_provider = "loop"\n${more}\n${provider}stream_max_retries = 0\n`,
  );
  return home;
}

/** Stores a thread of these user messages, each answered by its echo, and gives its id and its turns' ids. */
export async function storedThread(
  home: string,
  prompts: readonly string[],
  cwd = "/tmp",
): Promise<{ threadId: string; turnIds: string[] }> {
  await using manager = await ThreadManager.create({
    store: fileStore({ home, fsync: "never" }),
    model: scriptedClient(),
  });
  const { thread, threadId } = await manager.startThread({ cwd });
  const turnIds: string[] = [];
  for (const prompt of prompts) turnIds.push(String((await thread.run(prompt)).turnId));
  await manager.shutdown();
  await manager.store.close();
  return { threadId, turnIds };
}
