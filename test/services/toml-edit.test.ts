import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse, stringify } from "smol-toml";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import {
  type ConfigTable,
  isTable,
  leavesOf,
  valueAt,
  withoutValue,
  withValue,
} from "../../src/services/config-table.ts";
import { editToml } from "../../src/services/toml-edit.ts";
import { tomlStatements } from "../../src/services/toml-statements.ts";

const FILE = `# my settings
model = "gpt-5.2" # the best
approval_policy='never'

# servers
[model_providers.local]   # mine
name = "Local"
http_headers = { "x-a" = "1", b = "2" }

  [mcp_servers."a.b"]
  args = [ # one by one
    "]", # not the end
    '#',
  ]

[[rules]]
x = 1
[[rules]]
x = 2
`;

test("a value is replaced where it stands, and nothing else changes", () => {
  const cases: [readonly string[], unknown, string, string][] = [
    [["model"], 'o"3', 'model = "gpt-5.2" #', 'model = "o\\"3" #'],
    [["approval_policy"], "on-request", "approval_policy='never'", 'approval_policy="on-request"'],
    [["model_providers", "local", "name"], true, 'name = "Local"', "name = true"],
    [["model_providers", "local", "http_headers", "b"], "3", 'b = "2" }', 'b = "3" }'],
    [
      ["mcp_servers", "a.b", "args"],
      ["x"],
      FILE.slice(FILE.indexOf("[ # one"), FILE.indexOf("\n\n[[rules]]")),
      '[ "x" ]',
    ],
  ];
  for (const [path, value, old, fresh] of cases) {
    const edited = editToml(FILE, path, value);
    if (path.length < 4) assert.equal(edited, FILE.replace(old, fresh));
    else assert.deepEqual(plain(parse(edited)), plain(withValue(parse(FILE), path, value)));
    for (const comment of ["# my settings", "# the best", "# servers", "# mine"]) assert.ok(edited.includes(comment));
  }
});

test("a new key joins its table, a new table goes to the end", () => {
  assert.equal(
    editToml(FILE, ["sandbox_mode"], "read-only"),
    FILE.replace("'never'\n", "'never'\nsandbox_mode = \"read-only\"\n"),
  );
  assert.equal(
    editToml(FILE, ["model_providers", "local", "base_url"], "http://x"),
    FILE.replace('b = "2" }\n', 'b = "2" }\nbase_url = "http://x"\n'),
  );
  assert.equal(editToml(FILE, ["features", "x"], true), `${FILE}\n[features]\nx = true\n`);
  assert.equal(editToml("", ["model"], "a"), 'model = "a"\n');
  assert.equal(editToml("[t]\na = 1", ["model"], "a"), 'model = "a"\n[t]\na = 1');
  assert.equal(editToml("a = 1", ["b"], 2), "a = 1\nb = 2\n");
  assert.equal(editToml("a.b = 1\r\n", ["a", "c"], 2), "a.b = 1\r\na.c = 2\r\n");
  assert.equal(editToml("[a.b]\nc = 1\n", ["a", "d"], 2), "[a.b]\nc = 1\n\n[a]\nd = 2\n");
  assert.equal(
    editToml("", ["mcp_servers", "x"], { command: "c", env: { A: "1" } }),
    '[mcp_servers.x]\ncommand = "c"\nenv = { A = "1" }\n',
  );
});

test("a removed key takes its line along, a removed table its section", () => {
  assert.equal(editToml(FILE, ["model"], null), FILE.replace('model = "gpt-5.2" # the best\n', ""));
  assert.equal(editToml(FILE, ["nothing", "there"], undefined), FILE);
  const without = editToml(FILE, ["model_providers"], undefined);
  assert.equal(without, FILE.replace(/\[model_providers[\s\S]*"2" }\n/, ""));
  assert.deepEqual(
    plain(parse(editToml(FILE, ["model_providers", "local", "http_headers", "x-a"], null))),
    plain(withoutValue(parse(FILE), ["model_providers", "local", "http_headers", "x-a"])),
  );
});

test("what cannot be edited in place is refused, not guessed", () => {
  for (const [path, value] of [
    [["rules", "x"], undefined],
    [["model"], [null]],
    [["model"], () => 1],
    [[], 1],
  ] as [string[], unknown][]) {
    assert.throws(() => editToml(FILE, path, value), InvalidRequestError);
  }
});

test("statements are found whatever their strings hold", () => {
  const text =
    'a = """x""""\nb = \'\'\'[c]\n# d\'\'\'\n"e\\u0041" . f = 1979-05-27 07:32:00 # g\n[ h . "i]" ] # j\nk = { l = "}" }\n';
  assert.deepEqual(
    tomlStatements(text).map(({ kind, path, line, value }) => [kind, path, line, text.slice(value.start, value.end)]),
    [
      ["pair", ["a"], 1, '"""x""""'],
      ["pair", ["b"], 2, "'''[c]\n# d'''"],
      ["pair", ["eA", "f"], 4, "1979-05-27 07:32:00"],
      ["table", ["h", "i]"], 5, ""],
      ["pair", ["h", "i]", "k"], 6, '{ l = "}" }'],
    ],
  );
});

const key = fc.oneof(fc.constantFrom("a", "b", "model", "x.y", "d e", "__proto__", ""), fc.string({ maxLength: 4 }));
const scalar = fc.oneof(fc.string(), fc.boolean(), fc.integer(), fc.constantFrom("\n", '"""', "'''", "# no", "]"));
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    scalar,
    fc.array(scalar, { maxLength: 3 }),
    fc.dictionary(key, tie("value"), { maxKeys: 3 }),
  ),
})).value;
const table = fc.dictionary(key, value, { maxKeys: 5 }).map((entries) => ({ ...entries }) as ConfigTable);
const plain = (data: unknown): unknown => JSON.parse(JSON.stringify(data));

test("any value can be set in any file, its comments stay, and no other value changes", () => {
  fc.assert(
    fc.property(
      table,
      fc.array(key, { minLength: 1, maxLength: 3 }),
      value,
      fc.boolean(),
      (before, path, fresh, crlf) => {
        const body = `# first\n${stringify(before)}# last\n`;
        const text = crlf ? body.replaceAll("\n", "\r\n") : body;
        fc.pre(path.every((_, index) => isTable(valueAt(before, path.slice(0, index)) ?? {})));
        const edited = editToml(text, path, fresh);
        assert.ok(edited.includes("# first") && edited.includes("# last"));
        const after = parse(edited);
        assert.deepEqual(plain(valueAt(after, path)), plain(fresh));
        for (const leaf of leavesOf(parse(text))) {
          const shared = leaf.path.every((part, index) => index >= path.length || part === path[index]);
          if (!shared && path.length <= leaf.path.length)
            assert.deepEqual(plain(valueAt(after, leaf.path)), plain(leaf.value));
        }
        const cleared = editToml(edited, path, undefined);
        assert.equal(valueAt(parse(cleared), path), undefined);
      },
    ),
    { numRuns: 500 },
  );
});
