/** Sandboxes of several processes at once, and of a user without rights. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chown } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { inSandbox, place, runIn } from "./sandboxed.ts";

const NAMES = [".git", ".codex", ".skein", ".agents"];
const COMMANDS = 8;
const NOBODY = 1000;

/** Runs the commands of one process, two at a time, and tells what each came to. */
const runner = (cwd: string, commands: readonly string[]): string => `
  const { shIn } = await import(${JSON.stringify(new URL("./sandboxed.ts", import.meta.url).href)});
  const left = ${JSON.stringify(commands)}.entries();
  const results = [];
  const work = async () => {
    for (const [index, command] of left) {
      const { exitCode, aggregated } = await shIn({ cwd: ${JSON.stringify(cwd)} }, command);
      results[index] = { exitCode, aggregated };
    }
  };
  await Promise.all([work(), work()]);
  console.log(JSON.stringify(results));`;

type Told = { readonly exitCode: number; readonly aggregated: string };

/** Another process of ours, or of the user whose words begin the arguments. */
function processRunning(script: string, as: readonly string[] = []): Promise<Told[]> {
  const [program = "", ...args] = [...as, process.execPath, "--no-warnings", "--input-type=module", "-e", script];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += String(chunk);
  });
  child.stderr.on("data", (chunk) => {
    stderr += String(chunk);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(stdout));
      else reject(new Error(stderr));
    });
  });
}

/** Tries to take a protected name, and does its work. */
const commandOf = (name: string, index: number): string =>
  `mkdir -p ${name}/hooks 2>/dev/null; echo x 2>/dev/null > ${name}/hooks/y; mv ${name} away 2>/dev/null; rmdir ${name} 2>/dev/null; echo x > did-${index}`;

test(
  "three processes hold one folder's protected names: no command fails, none gets in, nothing is left",
  inSandbox,
  async (t) => {
    const cwd = await place(t);
    const processes = ["a", "b", "c"];
    const told = await Promise.all(
      processes.map((each) =>
        processRunning(
          runner(
            cwd,
            Array.from({ length: COMMANDS }, (_, index) =>
              commandOf(NAMES[index % NAMES.length] ?? "", index).replace("did-", `did-${each}`),
            ),
          ),
        ),
      ),
    );
    for (const { exitCode, aggregated } of told.flat()) assert.equal(exitCode, 0, aggregated);
    const made = processes.flatMap((each) => Array.from({ length: COMMANDS }, (_, index) => `did-${each}${index}`));
    assert.deepEqual(readdirSync(cwd).sort(), made.sort());
  },
);

/** Every way to a user namespace that a command has, and whether it is open. */
const NAMESPACES = `
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
NEWUSER = 0x10000000
def child(work):
    pid = os.fork()
    if pid == 0: os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def unshare(flags):
    return 0 if libc.unshare(flags) == 0 else ctypes.get_errno()
def clone(flags):
    pid = libc.syscall({"x86_64": 56, "aarch64": 220}[os.uname().machine], flags | 17, 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    return 0 if pid > 0 else ctypes.get_errno()
others = {"mount": 0x20000, "net": 0x40000000, "pid": 0x20000000}
print("user", child(lambda: unshare(NEWUSER)), child(lambda: clone(NEWUSER)))
for name, flag in others.items(): print(name, child(lambda: unshare(NEWUSER | flag)), child(lambda: clone(NEWUSER | flag)))
`;

const hasPython = spawnSync("python3", ["-c", ""]).status === 0;

for (const profile of ["strict", "private"] as const) {
  test(`${profile}: no user namespace in the sandbox, alone or with others, nor a sandbox in it`, {
    skip: inSandbox.skip || (hasPython ? false : "python3 is not installed"),
  }, async (t) => {
    const cwd = await place(t);
    const { stdout, stderr } = await runIn({ cwd, profile }, ["python3", "-c", NAMESPACES]);
    assert.equal(stdout, ["user", "mount", "net", "pid"].map((name) => `${name} 1 1\n`).join(""), stderr);
    const nested = await runIn({ cwd, profile }, ["bwrap", "--unshare-user", "--bind", "/", "/", "true"]);
    assert.notEqual(nested.exitCode, 0);
  });
}

/** How to become a user without rights, and why it cannot be done here. */
function asNobody(): { readonly words: readonly string[]; readonly skip: string | false } {
  const words = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  if (process.geteuid?.() !== 0) return { words, skip: "only root can become another user" };
  try {
    const read = "fs.readFileSync(process.argv[1])";
    const [program = "", ...args] = [...words, process.execPath, "-e", read, new URL(import.meta.url).pathname];
    execFileSync(program, args, { stdio: "ignore", cwd: "/" });
    execFileSync("setpriv", [...words.slice(1), "bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"], {
      stdio: "ignore",
      cwd: "/",
    });
    return { words, skip: false };
  } catch {
    return { words, skip: "another user cannot read the project, or make a sandbox" };
  }
}

const nobody = asNobody();

test("a user without rights gets the same sandbox", { skip: inSandbox.skip || nobody.skip }, async (t) => {
  const cwd = await place(t);
  const outside = await place(t);
  for (const path of [cwd, outside]) await chown(path, NOBODY, NOBODY);
  const told = await processRunning(
    runner(cwd, [
      "id -u",
      ...NAMES.map(commandOf),
      `echo x > ${outside}/out`,
      "unshare --user true",
      "exec 3<>/dev/tcp/127.0.0.1/9",
    ]),
    nobody.words,
  );
  const [who, ...others] = told;
  assert.equal(who?.aggregated.trim(), String(NOBODY));
  const codes = others.map(({ exitCode }) => exitCode === 0);
  assert.deepEqual(codes, [...NAMES.map(() => true), false, false, false], JSON.stringify(told));
  assert.deepEqual(readdirSync(outside), []);
  assert.deepEqual(
    readdirSync(cwd).sort(),
    NAMES.map((_, index) => `did-${index}`),
  );
  assert.equal(existsSync(join(cwd, ".git")), false);
});
