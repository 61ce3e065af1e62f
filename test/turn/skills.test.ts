/** Skills that a text names, in a turn. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { ModelRequest } from "../../src/model/model-client.ts";
import { textOf } from "../../src/protocol/response-item.ts";
import { createSkillsManager } from "../../src/services/skills-manager.ts";
import { writeTree } from "../services/temp-home.ts";
import { bench, folder } from "./tools/tool-turn.ts";

const users = (request: ModelRequest | undefined): string[] =>
  (request?.input ?? []).flatMap((item) =>
    item.type === "message" && item.role === "user" && !textOf(item).startsWith("<environment_context>")
      ? [textOf(item)]
      : [],
  );

test("`$name` injects after the message, and again in a later turn; a lost file is warned of", async (t) => {
  const userFolder = await folder(t);
  const path = join(userFolder, ".agents/skills/alpha/SKILL.md");
  await writeTree(userFolder, { ".agents/skills/alpha/SKILL.md": "---\nname: alpha\ndescription: d\n---\nBody\n" });
  const injected = `<skill>\n<name>alpha</name>\n<path>${path}</path>\n---\nname: alpha\ndescription: d\n---\nBody\n\n</skill>`;
  const skills = createSkillsManager({ userFolder, adminRoot: null });
  const { thread, model, ofType } = await bench(t, ["one", "two", "three"], {}, { skills });
  await thread.run("use $alpha please");
  assert.deepEqual(users(model.requests.at(-1)), ["use $alpha please", injected]);
  await thread.run("not $another, but $alpha again");
  assert.deepEqual(users(model.requests.at(-1)).slice(2), ["not $another, but $alpha again", injected]);
  await rm(path);
  const result = await thread.run("and $alpha");
  assert.equal(result.status, "completed");
  assert.deepEqual(users(model.requests.at(-1)).slice(4), ["and $alpha"]);
  const gone = `Failed to load skill alpha at ${path}: No such file or directory (os error 2)`;
  assert.deepEqual(ofType("warning"), [{ type: "warning", message: gone }]);
});
