/** What a command line says of config.toml and of standard input, as stock Codex 0.171 takes it. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ModelServer, streaming, wholeAnswer } from "../model/model-server.ts";
import { ended, skein, start } from "./skein.ts";
import { homeWithProvider, tempFolder } from "./temp-home.ts";

const PIPED: readonly (readonly [what: string, piped: string | Buffer, answer: string])[] = [
  ["a text", "some data", "do it\n\n<stdin>\nsome data\n</stdin>"],
  ["lines, whose ends stay", "some\ndata\n\n", "do it\n\n<stdin>\nsome\ndata\n\n</stdin>"],
  ["a text with the block's own end", "</stdin> x", "do it\n\n<stdin>\n</stdin> x\n</stdin>"],
  ["nothing", "", "do it"],
  ["white space", " \n", "do it"],
  ["a byte order mark", "\ufeffa", "do it\n\n<stdin>\na\n</stdin>"],
  ["UTF-16", Buffer.from("\ufeffhé", "utf16le"), "do it\n\n<stdin>\nhé\n</stdin>"],
];

async function piped(args: readonly string[], input: string | Buffer) {
  const child = start(args);
  const end = ended(child);
  child.stdin.end(input);
  return end;
}

for (const [what, input, answer] of PIPED) {
  test(`beside a prompt, standard input comes along in a block: ${what}`, async (t) => {
    const home = await tempFolder(t);
    const { code, stdout } = await piped(["exec", "--home", home, "do it"], input);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: `ack: ${answer}\n` });
  });
}

test("standard input that is no text is refused, and that it is waited for is said", async (t) => {
  const home = await tempFolder(t);
  const { code, stderr } = await piped(["exec", "--home", home, "do it"], Buffer.from([0x61, 0xff, 0x62]));
  assert.equal(code, 1);
  assert.match(stderr, /^error: Failed to read prompt from stdin: input is not valid UTF-8/);
  const child = start(["exec", "--home", home, "do it"]);
  const end = ended(child);
  await new Promise<void>((resolve) => {
    child.stderr.on("data", (chunk) => String(chunk).includes("Reading additional input from stdin...") && resolve());
  });
  child.stdin.end("late");
  assert.equal((await end).stdout, "ack: do it\n\n<stdin>\nlate\n</stdin>\n");
});

test("a thread that goes on is told the prompt alone", async (t) => {
  const home = await tempFolder(t);
  await piped(["exec", "--home", home, "one"], "");
  const { stdout } = await piped(["exec", "resume", "--last", "--home", home, "more"], "data");
  assert.equal(stdout, "ack: more\n");
});

/** What the model was asked for, under these arguments; the end of the command otherwise. */
async function asked(t: TestContext, files: Record<string, string>, args: readonly string[]) {
  await using server = await ModelServer.start(streaming(wholeAnswer("done")));
  const home = await homeWithProvider(t, server.baseUrl, files["config.toml"]);
  for (const [name, text] of Object.entries(files)) {
    if (name !== "config.toml") await writeFile(join(home, name), text);
  }
  const { code, stderr } = await skein(["exec", "--home", home, ...args, "go"]);
  const body = JSON.parse(server.requests[0]?.body ?? "{}") as { model?: string; reasoning?: { effort?: string } };
  return { code, stderr, model: body.model, effort: body.reasoning?.effort };
}

const FAST = { "fast.config.toml": 'model = "fast"\nmodel_reasoning_effort = "high"\n' };

test("a profile is NAME.config.toml of the home, over config.toml and under the flags", async (t) => {
  const plain = await asked(t, FAST, ["-p", "fast"]);
  assert.deepEqual([plain.code, plain.model, plain.effort], [0, "fast", "high"]);
  const flagged = await asked(t, FAST, ["-p", "fast", "-c", 'model="given"']);
  assert.deepEqual([flagged.model, flagged.effort], ["given", "high"]);
  const both = await asked(t, { ...FAST, "config.toml": '[profiles.fast]\nmodel = "table"\n' }, ["-p", "fast"]);
  assert.equal(both.model, "fast");
});

test("a profile that nobody has changes nothing, and is told; one that is wrong or no plain name is refused", async (t) => {
  const missing = await asked(t, {}, ["-p", "nope"]);
  assert.equal(missing.code, 0);
  assert.match(missing.stderr, /the profile `nope` changes nothing/);
  const broken = await asked(t, { "bad.config.toml": "model = 5\n" }, ["-p", "bad"]);
  assert.deepEqual([broken.code, broken.model], [1, undefined]);
  assert.match(broken.stderr, /bad\.config\.toml:1/);
  for (const name of ["../x", "a.b", "", "a/b"]) {
    const { code, stderr } = await asked(t, FAST, [`--profile=${name}`]);
    assert.equal(code, 2);
    assert.ok(stderr.includes(`invalid --profile value \`${name}\``), stderr);
  }
});

test("--ignore-user-config leaves config.toml unread, however wrong it is", async (t) => {
  await using server = await ModelServer.start(streaming(wholeAnswer("done")));
  const home = await tempFolder(t);
  await writeFile(join(home, "config.toml"), "model = [\n");
  const provider = `model_providers.own={name="own",base_url=${JSON.stringify(server.baseUrl)}}`;
  const settings = ["-c", provider, "-c", 'model_provider="own"', "-c", 'model="m"'];
  assert.equal((await skein(["exec", "--home", home, ...settings, "go"])).code, 1);
  const { code, stdout } = await skein(["exec", "--home", home, "--ignore-user-config", ...settings, "go"]);
  assert.deepEqual({ code, stdout }, { code: 0, stdout: "done\n" });
});

test("--strict-config refuses names that nobody knows, in files, profiles, flags and features", async (t) => {
  const strict = ["--strict-config"];
  const inFile = await asked(t, { "config.toml": 'modle = "x"\n' }, strict);
  assert.equal(inFile.code, 1);
  assert.match(inFile.stderr, /config\.toml:\d+: unknown configuration field `modle`; did you mean `model`\?/);
  assert.equal((await asked(t, { "config.toml": 'modle = "x"\n' }, [])).code, 0);
  const inFeatures = await asked(t, { "config.toml": "[features]\nnope = true\n" }, strict);
  assert.match(inFeatures.stderr, /unknown configuration field `features\.nope`/);
  const inProfile = await asked(t, { "fast.config.toml": 'modle = "x"\n' }, [...strict, "-p", "fast"]);
  assert.match(inProfile.stderr, /fast\.config\.toml:1: unknown configuration field `modle`/);
  const inFlag = await asked(t, {}, [...strict, "-c", "foo.bar=1"]);
  assert.match(inFlag.stderr, /unknown configuration field `foo` in -c\/--config override/);
  const known = 'notify = ["x"]\nrecovery = "interrupt"\n[tui]\ntheme = "x"\n[features]\ngoals = true\n';
  assert.equal((await asked(t, { "config.toml": known }, strict)).code, 0);
});

test("--enable and --disable refuse a feature that nobody knows, before and after the command's name", async (t) => {
  const home = await tempFolder(t);
  for (const args of [
    ["--enable", "nope", "exec"],
    ["exec", "--disable", "nope"],
    ["app-server", "--enable", "nope"],
  ]) {
    const { code, stderr } = await skein([...args, "--home", home]);
    assert.deepEqual([code, stderr.split("\n")[0]], [1, "error: Unknown feature flag: nope (invalid_request)"]);
  }
  const { stderr } = await skein(["exec", "--enable", "gaols", "--home", home, "go"]);
  assert.match(stderr, /Unknown feature flag: gaols; did you mean `goals`\?/);
  assert.equal((await skein(["exec", "--enable", "undo", "--enable", "web_search", "--home", home, "go"])).code, 0);
});
