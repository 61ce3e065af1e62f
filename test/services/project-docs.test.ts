import assert from "node:assert/strict";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "../../src/kernel/clock.ts";
import { composeUserInstructions, createProjectDocs } from "../../src/services/project-docs.ts";
import { tempHome, writeTree } from "./temp-home.ts";

test("the files from the repository's root down to the directory are joined, the override preferred", async (t) => {
  const root = await tempHome(t);
  const repo = join(root, "repo");
  const cwd = join(repo, "a/b");
  await writeTree(root, { "AGENTS.md": "outside" });
  await writeTree(repo, {
    ".git/HEAD": "",
    "AGENTS.md": "root\n",
    "a/AGENTS.md": "not this",
    "a/AGENTS.override.md": "override",
    "a/b/AGENTS.md": " \n",
  });
  assert.deepEqual(await createProjectDocs().projectDoc(cwd), {
    text: "root\n\n\noverride",
    files: [join(repo, "AGENTS.md"), join(repo, "a/AGENTS.override.md")],
    warnings: [],
  });
});

test("a file named .git marks a repository, too; without one, only the directory itself counts", async (t) => {
  const root = await tempHome(t);
  const cwd = join(root, "tree/below");
  await writeTree(root, { "tree/AGENTS.md": "above", "tree/below/AGENTS.md": "own" });
  const docs = createProjectDocs();
  assert.equal((await docs.projectDoc(cwd)).text, "own");
  await writeFile(join(root, "tree/.git"), "gitdir: elsewhere");
  assert.equal((await docs.projectDoc(cwd)).text, "above\n\nown");
});

test("no file, a folder of that name, and a directory that is not there say nothing", async (t) => {
  const root = await tempHome(t);
  await mkdir(join(root, "AGENTS.md"));
  const docs = createProjectDocs();
  const nothing = { text: undefined, files: [], warnings: [] };
  assert.deepEqual(await docs.projectDoc(root), nothing);
  assert.deepEqual(await docs.projectDoc(join(root, "absent")), nothing);
  await writeTree(root, { "own/AGENTS.md": "x" });
  assert.deepEqual(await docs.projectDoc(join(root, "own"), { maxBytes: 0 }), nothing);
});

test("fallback names count where the usual ones are absent", async (t) => {
  const root = await tempHome(t);
  await writeTree(root, { "CLAUDE.md": "fallback" });
  const docs = createProjectDocs({ fallbackNames: ["CLAUDE.md"] });
  assert.equal((await docs.projectDoc(root)).text, "fallback");
  await writeTree(root, { "AGENTS.md": "usual" });
  assert.equal((await docs.projectDoc(root)).text, "usual");
});

test("the limit holds over all files, counts bytes and cuts no character in two", async (t) => {
  const root = await tempHome(t);
  const below = join(root, "b");
  await writeTree(root, { ".git/HEAD": "", "AGENTS.md": "12345", "b/AGENTS.md": "éé", "b/c/AGENTS.md": "late" });
  const docs = createProjectDocs();
  assert.deepEqual(await docs.projectDoc(below, { maxBytes: 9 }), {
    text: "12345\n\néé",
    files: [join(root, "AGENTS.md"), join(below, "AGENTS.md")],
    warnings: [],
  });
  assert.deepEqual(await docs.projectDoc(join(below, "c"), { maxBytes: 8 }), {
    text: "12345\n\né",
    files: [join(root, "AGENTS.md"), join(below, "AGENTS.md")],
    warnings: [
      `${join(below, "AGENTS.md")} is cut off after 3 bytes: the limit is 8 bytes`,
      `${join(below, "c/AGENTS.md")} is left out: the limit of 8 bytes is used up`,
    ],
  });
});

test("the limit is 32 KiB unless another is given", async (t) => {
  const root = await tempHome(t);
  await writeTree(root, { "AGENTS.md": "x".repeat(40_000) });
  const doc = await createProjectDocs().projectDoc(root);
  assert.equal(doc.text?.length, 32_768);
  assert.equal(doc.warnings.length, 1);
});

test("a pipe and an endless device are no documents", async (t) => {
  const root = await tempHome(t);
  await symlink("/dev/zero", join(root, "AGENTS.md"));
  assert.equal((await createProjectDocs().projectDoc(root)).text, undefined);
});

test("unchanged files give the same document; a change, a new file and a removal are seen at once", async (t) => {
  const root = await tempHome(t);
  await writeTree(root, { ".git/HEAD": "", "AGENTS.md": "one" });
  const docs = createProjectDocs();
  const first = await docs.projectDoc(root);
  assert.equal(await docs.projectDoc(root), first);
  await writeTree(root, { "AGENTS.md": "second" });
  assert.equal((await docs.projectDoc(root)).text, "second");
  await writeTree(root, { "AGENTS.override.md": "override" });
  assert.equal((await docs.projectDoc(root)).text, "override");
  await rm(join(root, "AGENTS.override.md"));
  await rm(join(root, "AGENTS.md"));
  assert.equal((await docs.projectDoc(root)).text, undefined);
});

test("whoever asks after a change sees it, also while an earlier look is under way", async (t) => {
  const root = await tempHome(t);
  await writeTree(root, { "AGENTS.md": "before" });
  const docs = createProjectDocs();
  const early = docs.projectDoc(root);
  await writeTree(root, { "AGENTS.md": "after the change" });
  const late = [docs.projectDoc(root), docs.projectDoc(root)];
  await early;
  assert.deepEqual(
    (await Promise.all(late)).map(({ text }) => text),
    ["after the change", "after the change"],
  );
});

test("thousands of questions at once share one document", async (t) => {
  const root = await tempHome(t);
  await writeTree(root, { "AGENTS.md": "shared" });
  const docs = createProjectDocs();
  const all = await Promise.all(Array.from({ length: 5_000 }, () => docs.projectDoc(root)));
  assert.equal(new Set(all).size, 1);
});

test("the home's own file is trimmed, and the parts are composed as Codex composes them", async (t) => {
  const home = await tempHome(t);
  const docs = createProjectDocs();
  assert.equal((await docs.userDoc(home)).text, undefined);
  await writeTree(home, { "AGENTS.md": "\n mine \n" });
  const user = (await docs.userDoc(home)).text;
  assert.equal(user, "mine");
  assert.equal(await docs.userDoc(home), await docs.userDoc(home));
  assert.equal(composeUserInstructions({}), undefined);
  assert.equal(composeUserInstructions({ user: null, project: "P\n", skills: "## Skills" }), "P\n\n\n## Skills");
  assert.equal(composeUserInstructions({ user, project: "P", skills: "S" }), "mine\n\n--- project-doc ---\n\nP\n\nS");
});

test("a caller may allow an older look, as long as it says", async (t) => {
  const root = await tempHome(t);
  await writeTree(root, { "AGENTS.md": "old" });
  const clock = new ManualClock();
  const docs = createProjectDocs({ clock });
  await docs.projectDoc(root);
  await writeTree(root, { "AGENTS.md": "fresh" });
  clock.advance(99);
  assert.equal((await docs.projectDoc(root, { maxAgeMs: 100 })).text, "old");
  clock.advance(1);
  assert.equal((await docs.projectDoc(root, { maxAgeMs: 100 })).text, "fresh");
});
