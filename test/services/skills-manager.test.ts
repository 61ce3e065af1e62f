import assert from "node:assert/strict";
import { rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createSkillsManager } from "../../src/services/skills-manager.ts";
import { renderSkillsSection } from "../../src/services/skills-section.ts";
import { tempHome, writeTree } from "./temp-home.ts";

const skill = (name: string, description = `about ${name}`) =>
  `---\nname: ${name}\ndescription: ${description}\n---\nbody\n`;
const input = (name: string, path: string) => ({ type: "skill" as const, name, path });
const say = (text: string) => ({ type: "text" as const, text });
const oneUserMessage = (text: string) => ({ type: "message", role: "user", content: [{ type: "input_text", text }] });

async function house(t: Parameters<typeof tempHome>[0]) {
  const root = await tempHome(t);
  const home = join(root, "home");
  const repo = join(root, "repo");
  const cwd = join(repo, "pkg/deep");
  const adminRoot = join(root, "etc");
  await writeTree(repo, { ".git/HEAD": "", "pkg/deep/README": "" });
  return { root, home, repo, cwd, adminRoot, skills: createSkillsManager({ home, adminRoot }) };
}

test("skills come from every root, sorted by scope, name and path, two of one name too", async (t) => {
  const { root, home, repo, cwd, adminRoot, skills } = await house(t);
  await writeTree(root, { ".codex/skills/outside/SKILL.md": skill("outside") });
  await writeTree(repo, {
    ".codex/skills/top/SKILL.md": skill("zeta"),
    ".codex/skills/same/SKILL.md": skill("same", "repo root"),
    "pkg/deep/.codex/skills/same/SKILL.md": skill("same", "nearest"),
  });
  await writeTree(home, {
    "skills/same/SKILL.md": skill("same", "user"),
    "skills/ok/SKILL.md": skill("user-ok"),
    "skills/.hidden/SKILL.md": skill("hidden"),
    "skills/.system/creator/SKILL.md": skill("creator"),
    "skills/.system/broken/SKILL.md": "nothing",
  });
  await writeTree(adminRoot, { "a/SKILL.md": skill("admin-a"), "b/SKILL.md": skill("user-ok", "admin's") });
  const { skills: found, errors } = await skills.skillsFor(cwd);
  assert.deepEqual(
    found.map(({ scope, name, description, path }) => [scope, name, description, path]),
    [
      ["repo", "same", "repo root", join(repo, ".codex/skills/same/SKILL.md")],
      ["repo", "same", "nearest", join(cwd, ".codex/skills/same/SKILL.md")],
      ["repo", "zeta", "about zeta", join(repo, ".codex/skills/top/SKILL.md")],
      ["user", "same", "user", join(home, "skills/same/SKILL.md")],
      ["user", "user-ok", "about user-ok", join(home, "skills/ok/SKILL.md")],
      ["system", "creator", "about creator", join(home, "skills/.system/creator/SKILL.md")],
      ["admin", "admin-a", "about admin-a", join(adminRoot, "a/SKILL.md")],
      ["admin", "user-ok", "admin's", join(adminRoot, "b/SKILL.md")],
    ],
  );
  assert.deepEqual(errors, []);
});

test("`.agents/skills` counts in every folder of the repository and in the user's own; a file that links lead to twice once", async (t) => {
  const { root, home, repo, cwd } = await house(t);
  await writeTree(repo, {
    ".agents/skills/a/SKILL.md": skill("alpha"),
    "pkg/.agents/skills/b/SKILL.md": skill("beta"),
    "pkg/other/.agents/skills/x/SKILL.md": skill("elsewhere"),
    "pkg/.codex/README": "",
  });
  await symlink("../.agents/skills", join(repo, "pkg/.codex/skills"));
  await writeTree(root, { "user/.agents/skills/g/SKILL.md": skill("gamma") });
  const skills = createSkillsManager({ home, adminRoot: null, userFolder: join(root, "user") });
  const namesIn = async (folder: string) =>
    (await skills.skillsFor(folder)).skills.map(({ scope, name }) => `${scope} ${name}`);
  assert.deepEqual(await namesIn(cwd), ["repo alpha", "repo beta", "user gamma"]);
  assert.deepEqual(await namesIn(repo), ["repo alpha", "user gamma"]);
  assert.deepEqual(await namesIn(join(root, "user")), ["user gamma"], "the user's folder is no project's");
});

test("agents/openai.yaml says how a skill is shown, and keeps it out of the prompt; broken, it is as if absent", async (t) => {
  const { home, cwd, skills } = await house(t);
  await writeTree(home, {
    "skills/a/SKILL.md": skill("a"),
    "skills/a/agents/openai.yaml": "interface:\n  display_name: Shown\n  icon_small: 7\n",
    "skills/b/SKILL.md": skill("b"),
    "skills/b/agents/openai.yaml": "policy:\n  allow_implicit_invocation: false\n",
    "skills/c/SKILL.md": skill("c"),
    "skills/c/agents/openai.yaml": "interface: [\n",
  });
  const { skills: found, errors } = await skills.skillsFor(cwd);
  const [a, b, c] = found;
  assert.deepEqual(
    [a?.interface?.displayName, a?.interface?.iconSmall, a?.interface?.brandColor],
    ["Shown", null, null],
  );
  assert.deepEqual([b?.interface, b?.isImplicit, c?.interface], [undefined, false, undefined]);
  assert.deepEqual(errors, []);
  assert.deepEqual(renderSkillsSection(found)?.match(/^- \w+:/gm), ["- a:", "- c:"]);
  assert.equal(renderSkillsSection(found.slice(1, 2)), undefined);
  assert.equal((await skills.injectionFor(cwd, [say("use $b")])).messages.length, 1, "it can still be named");
});

test("outside a repository only the working directory's own skills count", async (t) => {
  const { root, home, skills } = await house(t);
  const cwd = join(root, "plain/below");
  await writeTree(root, {
    "plain/.codex/skills/a/SKILL.md": skill("above"),
    "plain/below/.codex/skills/b/SKILL.md": skill("own"),
  });
  assert.deepEqual(
    (await skills.skillsFor(cwd)).skills.map(({ name }) => name),
    ["own"],
  );
  await writeTree(home, { "skills/u/SKILL.md": skill("user") });
  assert.deepEqual(
    (await createSkillsManager().skillsFor(cwd)).skills.map(({ name }) => name),
    ["own"],
  );
});

test("a home inside the repository is the user's, not the repository's", async (t) => {
  const { repo, adminRoot } = await house(t);
  await writeTree(repo, { ".codex/skills/mine/SKILL.md": skill("mine") });
  const skills = createSkillsManager({ home: join(repo, ".codex"), adminRoot });
  assert.deepEqual(
    (await skills.skillsFor(repo)).skills.map(({ scope }) => scope),
    ["user"],
  );
});

test("errors are listed with their path, the good skills beside them, and no root at all is no error", async (t) => {
  const { home, repo, cwd, skills } = await house(t);
  assert.deepEqual(await skills.skillsFor(cwd), { skills: [], errors: [] });
  await writeTree(repo, {
    ".codex/skills/broken/SKILL.md": "no frontmatter",
    ".codex/skills/good/SKILL.md": skill("good"),
  });
  await writeTree(home, {
    "skills/long/SKILL.md": skill("n".repeat(70)),
    "skills/dir/SKILL.md/inner": "",
  });
  await writeTree(home, { "skills/device/README": "" });
  await symlink("/dev/zero", join(home, "skills/device/SKILL.md"));
  const outcome = await skills.skillsFor(cwd, { forceReload: true });
  assert.deepEqual(
    outcome.skills.map(({ name }) => name),
    ["good"],
  );
  assert.deepEqual(outcome.errors, [
    { path: join(repo, ".codex/skills/broken/SKILL.md"), message: "missing YAML frontmatter delimited by ---" },
    { path: join(home, "skills/long/SKILL.md"), message: "invalid name: exceeds maximum length of 64 characters" },
  ]);
});

test("a root that is a file is an error of no one; a skill larger than a megabyte is one", async (t) => {
  const { home, cwd, skills } = await house(t);
  await writeTree(home, { "skills/big/SKILL.md": `${skill("big")}${"x".repeat(1 << 20)}` });
  await writeTree(cwd, { ".codex/skills": "a file" });
  assert.deepEqual(await skills.skillsFor(cwd), {
    skills: [],
    errors: [{ path: join(home, "skills/big/SKILL.md"), message: "failed to read file: is larger than 1048576 bytes" }],
  });
});

test("the search goes six folders deep and no deeper", async (t) => {
  const { home, cwd, skills } = await house(t);
  await writeTree(home, {
    "skills/1/2/3/4/5/6/SKILL.md": skill("six"),
    "skills/1/2/3/4/5/6/7/SKILL.md": skill("seven"),
  });
  assert.deepEqual(
    (await skills.skillsFor(cwd)).skills.map(({ name }) => name),
    ["six"],
  );
});

test("links are followed, but not round in circles, and not among the system's", async (t) => {
  const { root, home, cwd, skills } = await house(t);
  await writeTree(root, { "store/linked/SKILL.md": skill("linked"), "store/system/SKILL.md": skill("system-linked") });
  await writeTree(home, { "skills/own/SKILL.md": skill("own"), "skills/.system/x/SKILL.md": skill("system-own") });
  await symlink(join(root, "store/linked"), join(home, "skills/link"));
  await symlink(join(home, "skills"), join(home, "skills/own/loop"));
  await symlink(join(root, "store/system"), join(home, "skills/.system/link"));
  await symlink(join(root, "nowhere"), join(home, "skills/dangling"));
  const outcome = await skills.skillsFor(cwd);
  assert.deepEqual(
    outcome.skills.map(({ name }) => name),
    ["linked", "own", "system-own"],
  );
  assert.deepEqual(outcome.errors, []);
});

test("a found outcome stays until it is reloaded by force, and those who ask at once share it", async (t) => {
  const { home, cwd, skills } = await house(t);
  await writeTree(home, { "skills/a/SKILL.md": skill("a") });
  const [first, second] = await Promise.all([skills.skillsFor(cwd), skills.skillsFor(cwd)]);
  assert.equal(first, second);
  await rm(join(home, "skills/a"), { recursive: true });
  assert.equal(await skills.skillsFor(cwd), first);
  assert.deepEqual((await skills.skillsFor(cwd, { forceReload: true })).skills, []);
  assert.deepEqual((await skills.skillsFor(cwd)).skills, []);
});

test("a relative directory gives one error", async () => {
  assert.deepEqual(await createSkillsManager().skillsFor("some/where"), {
    skills: [],
    errors: [{ path: "some/where", message: "cwd is not absolute: some/where" }],
  });
});

test("a skill item puts the whole file into the turn, each name once; unknown pairs are ignored", async (t) => {
  const { home, cwd, skills } = await house(t);
  await writeTree(home, { "skills/demo/SKILL.md": skill("demo"), "skills/other/SKILL.md": skill("other") });
  const path = join(home, "skills/demo/SKILL.md");
  const injection = await skills.injectionFor(cwd, [
    input("demo", join(home, "skills/other/SKILL.md")),
    input("demo", path),
    input("demo", path),
    input("nobody", path),
  ]);
  assert.deepEqual(injection, {
    messages: [
      oneUserMessage(
        `<skill>\n<name>demo</name>\n<path>${path}</path>\n---\nname: demo\ndescription: about demo\n---\nbody\n\n</skill>`,
      ),
    ],
    warnings: [],
  });
});

test("a text names skills: each once, in the list's order; two of one name, variables and strangers add nothing", async (t) => {
  const { home, repo, cwd, skills } = await house(t);
  await writeTree(home, {
    "skills/alpha/SKILL.md": skill("alpha"),
    "skills/beta-2/SKILL.md": skill("beta-2"),
    "skills/both/SKILL.md": skill("both"),
    "skills/home/SKILL.md": skill("HOME"),
    "skills/plug/SKILL.md": skill("plug:in"),
  });
  await writeTree(repo, { ".agents/skills/both/SKILL.md": skill("both") });
  const path = (name: string) => join(home, "skills", name, "SKILL.md");
  const namesIn = async (...texts: string[]) =>
    (await skills.injectionFor(cwd, texts.map(say))).messages.map(
      ({ content }) => /<name>(.*)<\/name>/.exec(JSON.stringify(content))?.[1],
    );
  const cases: [text: string, names: string[]][] = [
    ["use $alpha.", ["alpha"]],
    ["$beta-2, then ($alpha) and $alpha: again", ["alpha", "beta-2"]],
    ["$plug:in", ["plug:in"]],
    ["$alphabet $Alpha $al $ alpha $", []],
    ["costs $5, in $HOME and $ {alpha}", []],
    ["$both", []],
    [`[$both](${path("both")}) [$x](skill://${path("both")})`, ["both"]],
    [`[$alpha](/nowhere/SKILL.md) [$alpha](app://alpha)`, []],
    [`$alpha [$alpha](${path("alpha")})`, ["alpha"]],
  ];
  for (const [text, names] of cases) assert.deepEqual(await namesIn(text), names, text);
  assert.deepEqual(await namesIn("$beta-2", "$alpha"), ["alpha", "beta-2"]);
  const mixed = await skills.injectionFor(cwd, [say("$alpha and $beta-2"), input("beta-2", path("beta-2"))]);
  assert.deepEqual(
    mixed.messages.map(({ content }) => /<name>(.*)<\/name>/.exec(JSON.stringify(content))?.[1]),
    ["beta-2", "alpha"],
  );
});

test("a skill that came after the list was made is found once a text names it", async (t) => {
  const { home, cwd, skills } = await house(t);
  await skills.skillsFor(cwd);
  await writeTree(home, { "skills/late/SKILL.md": skill("late") });
  assert.equal((await skills.injectionFor(cwd, [say("now $late")])).messages.length, 1);
  assert.equal((await skills.skillsFor(cwd)).skills.length, 1);
});

test("a skill that cannot be read is warned of in Codex's words, and the others are injected", async (t) => {
  const { home, cwd, skills } = await house(t);
  await writeTree(home, { "skills/gone/SKILL.md": skill("gone"), "skills/here/SKILL.md": skill("here") });
  await skills.skillsFor(cwd);
  const gone = join(home, "skills/gone/SKILL.md");
  await rm(gone);
  const injection = await skills.injectionFor(cwd, [
    input("gone", gone),
    input("here", join(home, "skills/here/SKILL.md")),
  ]);
  assert.deepEqual(injection.warnings, [
    `Failed to load skill gone at ${gone}: No such file or directory (os error 2)`,
  ]);
  assert.equal(injection.messages.length, 1);
});

test("the section lists the skills, one text for one list", async (t) => {
  const { home, cwd, skills } = await house(t);
  assert.equal(renderSkillsSection([]), undefined);
  await writeTree(home, { "skills/demo/SKILL.md": skill("demo") });
  const found = (await skills.skillsFor(cwd)).skills;
  const section = renderSkillsSection(found);
  const lines = section?.split("\n") ?? [];
  assert.equal(lines[0], "## Skills");
  assert.equal(
    lines[lines.indexOf("### Available skills") + 1],
    `- demo: about demo (file: ${join(home, "skills/demo/SKILL.md")})`,
  );
  assert.ok(lines.includes("### How to use skills"));
  assert.equal(renderSkillsSection(found), section);
});
