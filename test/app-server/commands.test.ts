/** Commands in v2's words, beside those that stock Codex 0.169 has told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { commandActions, commandLine } from "../../src/app-server/v2/shown-command.ts";
import { parsedCommands } from "../../src/turn/tools/shell/parsed-command.ts";

const LINES: readonly (readonly [script: string, line: string])[] = [
  ["a@b:c/d.e-f_g]", "a@b:c/d.e-f_g]"],
  ["", "''"],
  ["a=b", "'a=b'"],
  ["é", "'é'"],
  ["echo hi", "'echo hi'"],
  ["echo !x", "'echo !x'"],
  ["sh -c 'echo a'", `"sh -c 'echo a'"`],
  ["echo \"q\" 'a'", `"echo \\"q\\" 'a'"`],
  ["echo a\\b", `"echo a\\\\b"`],
  ["echo \"$HOME\" 'a'", `'echo "$HOME" '"'a'"`],
  ["echo 'a`b'", `"echo 'a"'\`b'"'"`],
  ["a^b", "a'^b'"],
];

test("a command is a line for a shell, each part of a word in the quotes that take most", () => {
  for (const [script, line] of LINES) assert.equal(commandLine(["-lc", script]), `-lc ${line}`);
});

const unknown = (command: string) => [{ type: "unknown", command }];
const list = (command: string) => ({ type: "listFiles", command, path: null });
const ACTIONS: readonly (readonly [script: string, actions: readonly object[]])[] = [
  ["git status", unknown("git status")],
  ["ls && touch x", unknown("ls && touch x")],
  ["rg foo; sleep 1", unknown("rg foo; sleep 1")],
  ["echo hi; touch y", unknown("echo hi; touch y")],
  ["ls; ls", [list("ls")]],
  ["cd /tmp && ls", [list("ls")]],
  ["ls -la; cat a.txt", [list("ls -la"), { type: "read", command: "cat a.txt", name: "a.txt", path: "/tmp/ws/a.txt" }]],
  ["cat /etc/hostname", [{ type: "read", command: "cat /etc/hostname", name: "hostname", path: "/etc/hostname" }]],
  ["rg foo src/x", [{ type: "search", command: "rg foo src/x", query: "foo", path: "x" }]],
];

test("what a command does: every step, or the whole of it where any step is unknown", () => {
  for (const [script, actions] of ACTIONS) {
    const command = ["/bin/bash", "-lc", script];
    assert.deepEqual(commandActions({ command, cwd: "/tmp/ws", parsed_cmd: parsedCommands(script) }), actions);
  }
});
