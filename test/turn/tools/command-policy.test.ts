/** What counts as plain, as known safe and as what, read from the script alone. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { Consents } from "../../../src/turn/consents.ts";
import { judgeCommand } from "../../../src/turn/tools/shell/command-policy.ts";
import { parsedCommands } from "../../../src/turn/tools/shell/parsed-command.ts";
import { plainCommands } from "../../../src/turn/tools/shell/plain-commands.ts";

const words = (script: string) => plainCommands(script)?.map((command) => command.words);

test("plain scripts are read as the shell reads them", () => {
  assert.deepEqual(words("ls -la 'a b' \"c d\"e"), [["ls", "-la", "a b", "c de"]]);
  assert.deepEqual(words("a && b||c; d | e\nf\n"), [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]);
  assert.deepEqual(
    plainCommands("a && b | c")?.map(({ after }) => after),
    [undefined, "&&", "|"],
  );
  assert.deepEqual(words("echo ''"), [["echo", ""]]);
});

test("scripts that do more than run commands are not plain", () => {
  const scripts = [
    "ls > out",
    "cat < in",
    "echo $HOME",
    'echo "$(rm x)"',
    "echo `rm x`",
    "(ls)",
    "{ ls; }",
    "ls &",
    "ls & rm x",
    "A=1 ls",
    "find . -{delete,print}",
    "ls *",
    "cat ~/x",
    "ls # rm",
    "ls \\\n rm",
    'echo "a\\"b"',
    "echo 'open",
    "ls |& cat",
    "ls &&",
    "&& ls",
    "ls || || ls",
    "ls ;; ls",
    "!ls",
    "",
    "  \n ",
    "ls\r\nrm x",
  ];
  for (const script of scripts) assert.equal(plainCommands(script), undefined, JSON.stringify(script));
});

test("whatever is plain, bash gives the program the same words", () => {
  const piece = fc.constantFrom(
    "a",
    "-b",
    "'c d'",
    '"e f"',
    "g'h i'j",
    "k=l",
    "x/y.z",
    ":",
    "''",
    "é",
    ",",
    "@",
    "%",
    "+",
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(piece, fc.constantFrom("", " ", "  ", "\t")), { minLength: 1, maxLength: 6 }),
      (parts) => {
        const script = `printf '%s\\0' ${parts.map(([text, space]) => text + space).join("")}`;
        const [command] = plainCommands(script.replace("'%s\\0'", "FORMAT")) ?? [];
        if (command === undefined) return;
        const seen = execFileSync("/bin/bash", ["-c", script], { encoding: "utf8" }).split("\0").slice(0, -1);
        assert.deepEqual(command.words.slice(2), seen);
      },
    ),
    { numRuns: 40 },
  );
});

const asks = (script: string, consents = new Consents()): boolean =>
  judgeCommand({ script, escalated: false, approvalPolicy: "untrusted", consents }).kind === "ask";

test("untrusted: known readers run", () => {
  for (const script of [
    "ls",
    "cat a b | grep x | wc -l",
    "cd src && pwd",
    "git status",
    "git log --oneline",
    "git diff HEAD",
    "git branch --show-current",
    "find . -name x -type f",
    "rg -n foo src",
    "sed -n 1,20p file",
    "head -c 10 file; tail file",
    "base64 -d x",
  ]) {
    assert.equal(asks(script), false, script);
  }
});

test("untrusted: everything else is asked about", () => {
  for (const script of [
    "touch x",
    "ls && touch x",
    "ls; rm x",
    "cat a > b",
    "find . -delete",
    "find . -exec rm {} ;",
    "find . -fprintf x y",
    "git -c core.pager=x log",
    "git branch -D x",
    "git branch new",
    "git diff --output=x",
    "git push",
    "rg --pre cmd x",
    "rg --pre=cmd x",
    "rg -nz x",
    "sed -i s/a/b/ x",
    "sed -n 1p a b",
    "sed -n 'w x'",
    "base64 -o out in",
    "uniq in out",
    "sort -o x y",
    "/tmp/ls",
    "./ls",
    "env ls",
    "xargs rm",
    "echo $(rm x)",
    "",
  ]) {
    assert.equal(asks(script), true, script);
  }
});

test("an amendment is a prefix of words, never of letters", () => {
  const consents = new Consents();
  consents.allowPrefix(["npm", "test"]);
  consents.allowPrefix([]);
  assert.equal(asks("npm test -- -x", consents), false);
  assert.equal(asks("npm testing", consents), true);
  assert.equal(asks("npm", consents), true);
  assert.equal(asks("npm test && rm x", consents), true);
});

test("what a command does, as Codex tells it", () => {
  const cases: [string, object[]][] = [
    ["echo hello && ls", [{ type: "list_files", cmd: "ls", path: null }]],
    ["exit 3", [{ type: "unknown", cmd: "exit 3" }]],
    [
      "sleep 3; echo slept",
      [
        { type: "unknown", cmd: "sleep 3" },
        { type: "unknown", cmd: "echo slept" },
      ],
    ],
    ["printf 'a\\nb\\n' | wc -l", [{ type: "unknown", cmd: "printf 'a\\nb\\n' | wc -l" }]],
    ["touch f0.txt", [{ type: "unknown", cmd: "touch f0.txt" }]],
    ["cat src/main.rs", [{ type: "read", cmd: "cat src/main.rs", name: "main.rs", path: "src/main.rs" }]],
    ["sed -n 1,9p a.ts", [{ type: "read", cmd: "sed -n 1,9p a.ts", name: "a.ts", path: "a.ts" }]],
    ["rg -n foo src | head -5", [{ type: "search", cmd: "rg -n foo src", query: "foo", path: "src" }]],
    ["echo $X > y", [{ type: "unknown", cmd: "echo $X > y" }]],
  ];
  for (const [script, parsed] of cases) assert.deepEqual(parsedCommands(script), parsed, script);
});
