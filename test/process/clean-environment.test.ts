import assert from "node:assert/strict";
import { test } from "node:test";
import { commandEnvironment, fewVariables } from "../../src/process/clean-environment.ts";
import type { ShellEnvironmentPolicy } from "../../src/protocol/shell-environment.ts";

const ENVIRONMENT = {
  PATH: "/bin",
  HOME: "/home/me",
  EDITOR: "vi",
  MY_TOKEN: "t",
  PGPASSWORD: "p",
  DATABASE_URL: "db",
  MIRROR: "https://me:pa55@mirror.example",
  CI_JOB: "glpat-abcdefghijklmnop",
  GONE: undefined,
};
const names = (shellEnvironmentPolicy?: ShellEnvironmentPolicy): string[] =>
  Object.keys(commandEnvironment(ENVIRONMENT, { shellEnvironmentPolicy })).sort();

test("a command inherits what has neither a secret's name nor a secret's shape", () => {
  assert.deepEqual(names(), ["EDITOR", "HOME", "PATH"]);
});

test("the policy decides what is inherited, what goes, what is set, and what alone stays", () => {
  assert.deepEqual(names({ inherit: "none" }), []);
  assert.deepEqual(names({ inherit: "core" }), ["HOME", "PATH"]);
  assert.deepEqual(names({ exclude: ["ed*", "H?ME"] }), ["PATH"]);
  assert.deepEqual(names({ ignore_default_excludes: true, exclude: ["*TOKEN"] }).includes("DATABASE_URL"), true);
  assert.deepEqual(names({ ignore_default_excludes: true, exclude: ["*TOKEN"] }).includes("MY_TOKEN"), false);
  assert.deepEqual(names({ inherit: "none", set: { API_KEY: "given" } }), ["API_KEY"]);
  assert.deepEqual(names({ set: { API_KEY: "given" }, include_only: ["P*"] }), ["PATH"]);
  assert.equal(commandEnvironment(ENVIRONMENT, { shellEnvironmentPolicy: { set: { EDITOR: "ed" } } }).EDITOR, "ed");
});

test("a secret that include_only names in full is meant; a pattern means none", () => {
  assert.deepEqual(names({ include_only: ["*"] }), ["EDITOR", "HOME", "PATH"]);
  assert.deepEqual(names({ include_only: ["*", "DATABASE_URL"] }), ["DATABASE_URL", "EDITOR", "HOME", "PATH"]);
  assert.deepEqual(names({ include_only: ["*_URL", "PATH"] }), ["PATH"]);
});

test("a variable that settings take a key or a header from is a secret, whatever it is called", () => {
  assert.deepEqual(names({ secrets: ["EDITOR"] }), ["HOME", "PATH"]);
  assert.deepEqual(names({ secrets: ["EDITOR"], include_only: ["EDITOR"] }), ["EDITOR"]);
  const mcpServers = { s: { url: "http://s", bearer_token_env_var: "EDITOR", env_http_headers: { "x-a": "HOME" } } };
  assert.deepEqual(Object.keys(commandEnvironment(ENVIRONMENT, { mcpServers })), ["PATH"]);
});

test("a server gets the common variables and those that its table names", () => {
  assert.deepEqual(fewVariables(ENVIRONMENT), { HOME: "/home/me", PATH: "/bin" });
  assert.deepEqual(fewVariables(ENVIRONMENT, ["MY_TOKEN"]), { HOME: "/home/me", PATH: "/bin", MY_TOKEN: "t" });
});
