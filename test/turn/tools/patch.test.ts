/** apply_patch: the grammar, how chunks are fitted, and what lands on the disk. */
import assert from "node:assert/strict";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { call, raw, type Script } from "../../../src/model/script.ts";
import { PatchError, parsePatch } from "../../../src/turn/tools/patch/patch-grammar.ts";
import { patchedContent } from "../../../src/turn/tools/patch/patch-match.ts";
import { patchInScript } from "../../../src/turn/tools/shell/script-call.ts";
import { bench, folder, nextOf, OPEN } from "./tool-turn.ts";

const wrapped = (...lines: string[]): string => ["*** Begin Patch", ...lines, "*** End Patch"].join("\n");

test("the grammar: adds, deletes, updates and moves", () => {
  assert.deepEqual(
    parsePatch(
      wrapped(
        "*** Add File: a.txt",
        "+one",
        "+",
        "*** Delete File: b.txt",
        "*** Update File: c.txt",
        "*** Move to: d.txt",
        "@@ function f() {",
        " same",
        "-old",
        "+new",
        "",
        "@@",
        "+tail",
        "*** End of File",
      ),
    ),
    [
      { type: "add", path: "a.txt", content: "one\n\n" },
      { type: "delete", path: "b.txt" },
      {
        type: "update",
        path: "c.txt",
        moveTo: "d.txt",
        chunks: [
          {
            context: "function f() {",
            oldLines: ["same", "old", ""],
            newLines: ["same", "new", ""],
            isAtEnd: false,
          },
          { context: null, oldLines: [], newLines: ["tail"], isAtEnd: true },
        ],
      },
    ],
  );
});

test("a patch in a heredoc, as some models write it, is unwrapped", () => {
  const text = `<<'EOF'\n${wrapped("*** Delete File: x")}\nEOF`;
  assert.deepEqual(parsePatch(text), [{ type: "delete", path: "x" }]);
});

test("what is no patch is refused with what is wrong", () => {
  const problems: [string, RegExp][] = [
    ["", /The first line of the patch must be '\*\*\* Begin Patch'/],
    ["*** Begin Patch\n*** Add File: x\n+x", /The last line of the patch must be '\*\*\* End Patch'/],
    [`${wrapped("*** Delete File: x")}\nEOF`, /The last line of the patch must be '\*\*\* End Patch'/],
    [`<<EOF\n${wrapped("*** Delete File: x")}`, /The first line of the patch must be '\*\*\* Begin Patch'/],
    ["<<EOF\n*** Begin Patch\nEOF", /The first line of the patch must be '\*\*\* Begin Patch'/],
    [wrapped("hello"), /^invalid hunk at line 2, 'hello' is not a valid hunk header/],
    [wrapped("*** Update File: x"), /^invalid hunk at line 2, Update file hunk for path 'x' is empty/],
    [wrapped("*** Update File: x", "@@", "?"), /^invalid hunk at line 4, Unexpected line found in update hunk: '\?'/],
    [wrapped("*** Update File: x", "@@ f"), /does not contain any lines/],
  ];
  for (const [text, message] of problems) {
    assert.throws(
      () => parsePatch(text),
      (error) => error instanceof PatchError && message.test(error.message),
      text,
    );
  }
});

const chunk = (oldLines: string[], newLines: string[], rest: object = {}) => ({
  context: null,
  oldLines,
  newLines,
  isAtEnd: false,
  ...rest,
});

test("chunks are fitted in order, after their context, at the end, and leniently", () => {
  const file = "f() {\n  a\n}\ng() {\n  a\n}\n";
  assert.equal(
    patchedContent(file, [chunk(["  a"], ["  b"], { context: "g() {" })], "x"),
    "f() {\n  a\n}\ng() {\n  b\n}\n",
  );
  assert.equal(patchedContent(file, [chunk(["  a"], ["1"]), chunk(["  a"], ["2"])], "x"), "f() {\n1\n}\ng() {\n2\n}\n");
  assert.equal(
    patchedContent(file, [chunk(["}"], ["} // end"], { isAtEnd: true })], "x"),
    `${file.slice(0, -1)} // end\n`,
  );
  assert.equal(patchedContent("a   \nb", [chunk(["a", "b"], ["c"])], "x"), "c");
  assert.equal(patchedContent("say “hi” – now\n", [chunk(['say "hi" - now'], ["done"])], "x"), "done\n");
  assert.equal(patchedContent("a\n", [chunk(["a", ""], ["b", ""])], "x"), "b\n");
  assert.equal(patchedContent("a\n", [chunk([], ["b"])], "x"), "a\nb\n");
  assert.equal(patchedContent("f\nz\n", [chunk([], ["b"], { context: "f" })], "x"), "f\nb\nz\n");
});

test("any edit of any file, written as a patch, gives that file", () => {
  const lines = fc.array(fc.string({ unit: fc.constantFrom("a", "b", " ", "é", "}") }), { maxLength: 12 });
  fc.assert(
    fc.property(lines, lines, lines, lines, (before, old, fresh, after) => {
      const file = [...before, ...old, ...after];
      const whole = chunk(file, [...before, ...fresh, ...after]);
      const wanted = [...before, ...fresh, ...after].map((line) => `${line}\n`).join("");
      const content = file.map((line) => `${line}\n`).join("");
      if (file.length === 0) return;
      const text = wrapped(
        "*** Update File: x",
        "@@",
        ...before.map((line) => ` ${line}`),
        ...old.map((line) => `-${line}`),
        ...fresh.map((line) => `+${line}`),
        ...after.map((line) => ` ${line}`),
      );
      assert.equal(patchedContent(content, [whole], "x"), wanted);
      const [hunk] = parsePatch(text);
      assert.ok(hunk?.type === "update");
      assert.equal(patchedContent(content, hunk.chunks, "x"), wanted);
    }),
  );
});

test("what a patch does not change keeps its bytes", () => {
  const fit = (file: string, ...chunks: ReturnType<typeof chunk>[]) => patchedContent(file, chunks, "x");
  // Line ends are the file's, of what stays and of what comes.
  assert.equal(
    fit("one\r\ntwo\r\nthree\r\n", chunk(["one", "two", "three"], ["one", "2", "new", "three"])),
    "one\r\n2\r\nnew\r\nthree\r\n",
  );
  assert.equal(fit("one\r\ntwo\r\n", chunk([], ["three"])), "one\r\ntwo\r\nthree\r\n");
  assert.equal(fit("one\r\ntwo\n", chunk(["one"], ["1"]), chunk(["two"], ["2"])), "1\r\n2\n");
  assert.equal(fit("one\r\ntwo\r\n", chunk(["two\r"], ["2\r"])), "one\r\n2\r\n");
  assert.equal(fit("one\ntwo\n", chunk(["two\r"], ["2\r"])), "one\n2\n");
  // So is a missing last one.
  assert.equal(fit("one\ntwo", chunk(["one"], ["1"])), "1\ntwo");
  assert.equal(fit("one\ntwo", chunk(["two"], ["2"])), "one\n2");
  assert.equal(fit("one\r\ntwo", chunk([], ["three"])), "one\r\ntwo\r\nthree");
  // A byte order mark is no part of the first line.
  assert.equal(fit("\uFEFFone\ntwo\n", chunk(["one"], ["1"])), "\uFEFF1\ntwo\n");
  assert.equal(fit("\uFEFFone\r\n", chunk(["one"], ["zero", "one"])), "\uFEFFzero\r\none\r\n");
  // What a lenient reading passed over stays too.
  assert.equal(fit("\tone  \n\ttwo\n", chunk(["one", "two"], ["one", "2"])), "\tone  \n2\n");
  assert.equal(
    fit("say “hi”\nend\n", chunk(['say "hi"', "end"], ['say "hi"', "more", "end"])),
    "say “hi”\nmore\nend\n",
  );
  // Also where more lines come before it than go.
  assert.equal(fit("a\nkeep  \nz\n", chunk(["a", "keep", "z"], ["A1", "A2", "keep", "Z"])), "A1\nA2\nkeep  \nZ\n");
});

test("whatever the line ends of a file are, a patch changes the lines that it names alone", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 3 });
  const line = fc.tuple(word, fc.constantFrom("\n", "\r\n"));
  const file = fc.array(line, { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(file, fc.nat(), word, fc.boolean(), fc.boolean(), (lines, pick, fresh, hasMark, endsLine) => {
      const at = pick % lines.length;
      const write = (change: string | undefined) => {
        const text = lines.map(([word, end], index) => (index === at ? (change ?? word) : word) + end).join("");
        return (hasMark ? "\uFEFF" : "") + (endsLine ? text : text.replace(/\r?\n$/, ""));
      };
      const bare = lines.map(([word]) => word);
      const whole = chunk(bare, bare.with(at, `+${fresh}`));
      assert.equal(patchedContent(write(undefined), [whole], "x"), write(`+${fresh}`));
    }),
  );
});

test("a patch that is itself written with carriage returns is read like any other", () => {
  const text = wrapped("*** Add File: a", "+x", "*** Update File: b", "@@", " same", "", "-old", "+new");
  assert.deepEqual(parsePatch(text.replaceAll("\n", "\r\n")), parsePatch(text));
});

test("what does not fit names the file and the lines", () => {
  assert.throws(() => patchedContent("a\n", [chunk(["b", "c"], [])], "/w/x"), {
    message: "Failed to find expected lines in /w/x:\nb\nc",
  });
  assert.throws(() => patchedContent("a\n", [chunk(["a"], [], { context: "f()" })], "/w/x"), {
    message: "Failed to find context 'f()' in /w/x",
  });
});

test("scripts that only apply a patch are known as such", () => {
  const patch = wrapped("*** Delete File: x");
  const heredoc = (start: string, quote = "'") => `${start}apply_patch <<${quote}EOF${quote}\n${patch}\nEOF`;
  assert.deepEqual(patchInScript(heredoc("")), { text: patch, folder: null });
  assert.deepEqual(patchInScript(heredoc("cd sub && ", '"')), { text: patch, folder: "sub" });
  assert.deepEqual(patchInScript(heredoc("cd 'a b' && ", "")), { text: patch, folder: "a b" });
  assert.deepEqual(patchInScript(`apply_patch '${patch}'`), { text: patch, folder: null });
  for (const other of [
    `${heredoc("")}\nrm x`,
    heredoc("rm x; "),
    heredoc("cd $X && "),
    "apply_patch",
    "echo apply_patch",
  ]) {
    assert.equal(patchInScript(other), undefined, other);
  }
});

test("one patch adds, updates, moves and deletes; the diff of the turn tells it all", async (t) => {
  const cwd = await folder(t);
  await mkdir(join(cwd, ".git"));
  await writeFile(join(cwd, "keep.txt"), "one\ntwo\nthree\n");
  await writeFile(join(cwd, "run.sh"), "#!/bin/sh\necho old\n");
  await chmod(join(cwd, "run.sh"), 0o755);
  await writeFile(join(cwd, "gone.txt"), "bye\n");
  const input = wrapped(
    "*** Add File: new/deep.txt",
    "+hello",
    "*** Update File: keep.txt",
    "@@",
    " one",
    "-two",
    "+2",
    "*** Update File: run.sh",
    "*** Move to: bin/run.sh",
    "@@",
    "-echo old",
    "+echo new",
    "*** Delete File: gone.txt",
  );
  const { thread, outputs, ofType } = await bench(t, [[call("apply_patch", { input })], "done"], { cwd });
  await thread.run("go");
  assert.match(
    outputs()[0] ?? "",
    /Output:\nSuccess\. Updated the following files:\nA new\/deep\.txt\nM keep\.txt\nM bin\/run\.sh\nD gone\.txt\n$/,
  );
  assert.equal(await readFile(join(cwd, "new/deep.txt"), "utf8"), "hello\n");
  assert.equal(await readFile(join(cwd, "keep.txt"), "utf8"), "one\n2\nthree\n");
  assert.equal(await readFile(join(cwd, "bin/run.sh"), "utf8"), "#!/bin/sh\necho new\n");
  assert.equal((await stat(join(cwd, "bin/run.sh"))).mode & 0o777, 0o755);
  await assert.rejects(readFile(join(cwd, "run.sh")));
  await assert.rejects(readFile(join(cwd, "gone.txt")));
  assert.deepEqual(ofType("patch_apply_begin")[0]?.changes, {
    [join(cwd, "new/deep.txt")]: { type: "add", content: "hello\n" },
    [join(cwd, "keep.txt")]: {
      type: "update",
      unified_diff: "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n",
      move_path: null,
    },
    [join(cwd, "run.sh")]: {
      type: "update",
      unified_diff: "@@ -1,2 +1,2 @@\n #!/bin/sh\n-echo old\n+echo new\n",
      move_path: join(cwd, "bin/run.sh"),
    },
    [join(cwd, "gone.txt")]: { type: "delete", content: "bye\n" },
  });
  const [diff] = ofType("turn_diff");
  assert.deepEqual(diff?.unified_diff.match(/^diff --git .*$/gm), [
    "diff --git a/bin/run.sh b/bin/run.sh",
    "diff --git a/gone.txt b/gone.txt",
    "diff --git a/keep.txt b/keep.txt",
    "diff --git a/new/deep.txt b/new/deep.txt",
    "diff --git a/run.sh b/run.sh",
  ]);
  assert.match(
    diff?.unified_diff ?? "",
    /--- a\/keep\.txt\n\+\+\+ b\/keep\.txt\n@@ -1,3 \+1,3 @@\n one\n-two\n\+2\n three\n/,
  );
});

test("outside of a repository a diff names files from the folder, elsewhere and for old clients by their whole path", async (t) => {
  const cwd = await folder(t);
  const elsewhere = join(await folder(t), "far.txt");
  const input = wrapped("*** Add File: d/near.txt", "+n", `*** Add File: ${elsewhere}`, "+f");
  const removal = wrapped("*** Delete File: d/near.txt");
  const plays: Script = [[call("apply_patch", { input })], "done", [call("apply_patch", { input: removal })], "done"];
  const { manager, thread, ofType } = await bench(t, plays, { cwd });
  await thread.run("go");
  const named = ofType("turn_diff")[0]?.unified_diff.match(/^\+\+\+ .*$/gm);
  assert.deepEqual(named?.sort(), [`+++ b/${elsewhere}`, "+++ b/d/near.txt"]);

  const { thread: legacy } = await manager.startThread({ ...OPEN, cwd }, { historyMode: "legacy" });
  const told = nextOf(legacy, "turn_diff");
  await legacy.run("go");
  assert.match((await told).unified_diff, new RegExp(`^--- a/${cwd}/d/near.txt$`, "m"));
});

test("a patch that names a file twice is refused: what is shown of it would not be all of it", async (t) => {
  const cwd = await folder(t);
  await writeFile(join(cwd, "a.txt"), "one\ntwo\n");
  const twice = [
    ["*** Update File: a.txt", "@@", "-one", "+1", "*** Update File: ./a.txt", "@@", "-two", "+2"],
    ["*** Delete File: a.txt", "*** Add File: a.txt", "+x"],
    ["*** Add File: b.txt", "+x", "*** Update File: a.txt", "*** Move to: b.txt", "@@", "-one", "+1"],
  ];
  const calls = twice.map((lines) => call("apply_patch", { input: wrapped(...lines) }));
  const { thread, outputs, ofType } = await bench(t, [calls, "done"], { cwd });
  await thread.run("go");
  for (const output of outputs())
    assert.match(output, /^apply_patch verification failed: invalid patch: multiple operations/);
  assert.deepEqual([outputs().length, ofType("patch_apply_begin")], [3, []]);
  assert.equal(await readFile(join(cwd, "a.txt"), "utf8"), "one\ntwo\n");
});

test("two patches of one turn give one diff, and undoing gives none", async (t) => {
  const add = wrapped("*** Add File: x", "+a");
  const change = wrapped("*** Update File: x", "@@", "-a", "+b");
  const { thread, ofType } = await bench(t, [
    [call("apply_patch", { input: add }), call("apply_patch", { input: change })],
    [call("apply_patch", { input: wrapped("*** Delete File: x") })],
    "done",
  ]);
  await thread.run("go");
  const diffs = ofType("turn_diff").map(({ unified_diff }) => unified_diff.split("\n").at(-2));
  assert.deepEqual(diffs, ["+a", "+b"]);
});

test("the patch also comes as a custom tool call, and through the shell", async (t) => {
  const custom = {
    type: "custom_tool_call",
    status: "completed",
    call_id: "call_patch",
    name: "apply_patch",
    input: wrapped("*** Add File: custom.txt", "+c"),
  } as const;
  const script = `cd sub && apply_patch <<'EOF'\n${wrapped("*** Add File: shell.txt", "+s")}\nEOF`;
  const { thread, outputs, cwd, ofType, events } = await bench(t, [
    [raw({ type: "item_done", item: custom }), call("shell_command", { command: script })],
    "done",
  ]);
  await mkdir(join(cwd, "sub"));
  await thread.run("go");
  assert.equal(outputs().length, 2);
  assert.equal(await readFile(join(cwd, "custom.txt"), "utf8"), "c\n");
  assert.equal(await readFile(join(cwd, "sub/shell.txt"), "utf8"), "s\n");
  assert.deepEqual(ofType("exec_command_begin"), []);
  assert.ok(events.some(({ msg }) => msg.type === "raw_response_item" && msg.item.type === "custom_tool_call_output"));
});

test("patches that do not fit change nothing, and the turn goes on", async (t) => {
  const cwd = await folder(t);
  await writeFile(join(cwd, "a.txt"), "a\n");
  await writeFile(join(cwd, "binary"), Buffer.from([0xff, 0xfe, 0x00]));
  const apply = (...lines: string[]) => call("apply_patch", { input: wrapped(...lines) });
  const { thread, outputs } = await bench(
    t,
    [
      [
        apply("*** Update File: a.txt", "@@", "-a", "+b", "*** Update File: nope.txt", "@@", "-x", "+y"),
        apply("*** Update File: a.txt", "@@", "-zzz", "+b"),
        apply("*** Update File: binary", "@@", "-zzz", "+b"),
        apply(),
        call("apply_patch", "{"),
        call("apply_patch", {}),
      ],
      "done",
    ],
    { cwd },
  );
  assert.equal((await thread.run("go")).lastAgentMessage, "done");
  const [missing = "", unfit = "", binary = "", empty = "", json = "", schema = ""] = outputs();
  assert.match(missing, /^apply_patch verification failed: Failed to read file to update .*nope\.txt: ENOENT/);
  assert.equal(unfit, `apply_patch verification failed: Failed to find expected lines in ${join(cwd, "a.txt")}:\nzzz`);
  assert.match(binary, /^apply_patch verification failed: Failed to read file to update .*binary/);
  assert.match(empty, /^apply_patch verification failed: No files were modified/);
  assert.match(json, /^failed to parse function arguments: /);
  assert.match(schema, /^failed to parse function arguments: input: /);
  assert.equal(await readFile(join(cwd, "a.txt"), "utf8"), "a\n");
});

test("a disk that refuses is told, with what it refused", async (t) => {
  const { thread, outputs, ofType, cwd } = await bench(t, [
    [call("apply_patch", { input: wrapped("*** Add File: dir/x", "+x") })],
    "done",
  ]);
  await writeFile(join(cwd, "dir"), "in the way");
  await thread.run("go");
  assert.match(outputs()[0] ?? "", /^Exit code: 1\n[\s\S]*Failed to write file .*dir\/x: E/);
  assert.equal(ofType("patch_apply_end")[0]?.success, false);
});
