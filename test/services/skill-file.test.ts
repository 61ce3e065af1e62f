import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { parseSkillFile as parse } from "../../src/services/skill-file.ts";

const parseSkillFile = (text: string) => parse(text, "folder");

const file = (header: string) => `---\n${header}\n---\n\n# Body\n`;

test("name, description and short description are read, white space collapsed", () => {
  const text = file(
    "name: demo-skill\ndescription: >\n  Shows\n   how   it\n\n  works\nmetadata:\n  short-description: ' a  b '",
  );
  assert.deepEqual(parseSkillFile(text), {
    name: "demo-skill",
    description: "Shows how it works",
    shortDescription: "a b",
  });
  assert.deepEqual(parseSkillFile("\uFEFF---\r\nname: x\r\ndescription: y\r\nother: [1]\r\n---\r\n"), {
    name: "x",
    description: "y",
  });
});

test("a name's length counts characters, and the limit itself is allowed", () => {
  const name = "😀".repeat(64);
  assert.equal(parseSkillFile(file(`name: ${name}\ndescription: d`)).name, name);
});

test("a skill without a name has its folder's, and what people write is taken as Codex takes it", () => {
  const cases: [header: string, name: string, description: string][] = [
    ["description: d", "folder", "d"],
    ["name: '  '\ndescription: d", "folder", "d"],
    ["name: ~\ndescription: d", "folder", "d"],
    ["name: n\ndescription: Use when: it rains", "n", "Use when: it rains"],
    ["name: n\ndescription: `a` b", "n", "`a` b"],
    ["name: n\ndescription: @x", "n", "@x"],
    ["name: n\ndescription: d\nallowed-tools: [a, b", "n", "d"],
    ["name: [\ndescription: a: b", "[", "a: b"],
    ["name: 7\ndescription: true", "7", "true"],
    [`name: n\ndescription: ${"d".repeat(3000)}`, "n", "d".repeat(3000)],
  ];
  for (const [header, name, description] of cases) {
    assert.deepEqual(parseSkillFile(file(header)), { name, description }, header);
  }
});

test("what is wrong is said as Codex says it", () => {
  const cases: [string, string | RegExp][] = [
    ["no frontmatter", "missing YAML frontmatter delimited by ---"],
    ["", "missing YAML frontmatter delimited by ---"],
    ["---\nname: x\n", "missing YAML frontmatter delimited by ---"],
    ["---\n---\n", "missing YAML frontmatter delimited by ---"],
    ["\n---\nname: x\n---\n", "missing YAML frontmatter delimited by ---"],
    [file("name: n"), "missing field `description`"],
    [file("name: n\ndescription: ''"), "missing field `description`"],
    [file(`name: ${"n".repeat(65)}\ndescription: d`), "invalid name: exceeds maximum length of 64 characters"],
    [file('name: "n'), /^invalid YAML: .*at line 1/],
    [file("name: n\ndescription: {a}"), "invalid YAML: description: expected a string"],
    [file("- name"), "invalid YAML: expected a mapping"],
    [file("name: n\ndescription: d\nmetadata: [1]"), "invalid YAML: metadata: expected a mapping"],
    [file("a:\n  b: *c"), /^invalid YAML: /],
  ];
  for (const [text, message] of cases)
    assert.throws(() => parseSkillFile(text), { code: "invalid_request", message }, text);
});

test("any text is either a header or a clear error", () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom("---", "name: x", "description: y", "metadata:", "  short-description: z", "a: &a", "b: *a"),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
      try {
        const header = parseSkillFile(["---", ...lines].join("\n"));
        assert.ok(header.name !== "" && header.description !== "");
      } catch (error) {
        assert.ok(error instanceof InvalidRequestError, String(error));
        assert.match(error.message, /^(?:missing|invalid) /);
      }
    }),
  );
});
