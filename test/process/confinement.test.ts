/** What a sandboxed command can reach of the machine, under the real bubblewrap. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { systemClock } from "../../src/kernel/clock.ts";
import { loadPty, PtyProcess } from "../../src/process/pty-process.ts";
import { confine, obstacleTo } from "../../src/process/sandbox/confine.ts";
import { bubblewrapArguments } from "../../src/process/sandbox/confinement-plan.ts";
import { HeldFolders } from "../../src/process/sandbox/held-folders.ts";
import { terminalLaunch } from "../../src/process/terminal-launch.ts";
import { SandboxUnavailableError } from "../../src/protocol/errors.ts";
import { inSandbox, optionsOf, place, runIn, shIn, workspace } from "./sandboxed.ts";

const python = (script: string): string[] => ["python3", "-c", script];
const hasPython = spawnSync("python3", ["-c", ""]).status === 0;
const withPython = { skip: inSandbox.skip || (hasPython ? false : "python3 is not installed") };

async function listening(t: TestContext, path: string): Promise<{ connections: number }> {
  const seen = { connections: 0 };
  const server: Server = createServer((socket) => {
    seen.connections += 1;
    socket.end("hi");
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => server.close());
  return seen;
}

const SOCKETS = `
import socket, sys, ctypes
def attempt(name, work):
    try: work(); print(name, "OPEN")
    except OSError as e: print(name, e.errno)
def reach(path):
    s = socket.socket(socket.AF_UNIX); s.connect(path); s.recv(9)
for path in sys.argv[1:]: attempt(path.replace("\\\\0", "@"), lambda: reach(path.replace("@@", "\\0")))
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("dgram-pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt("stream-pair", lambda: socket.socketpair())
attempt("inet", lambda: socket.socket())
libc = ctypes.CDLL(None, use_errno=True)
for name, nr in (("io_uring", 425), ("open_tree", 428), ("clone3", 435)):
    libc.syscall(nr, 0, 0, 0); print(name, ctypes.get_errno())
`;

for (const network_access of [false, true]) {
  test(`strict: no Unix socket, no vsock, no ring is there, network ${network_access}`, withPython, async (t) => {
    const cwd = await place(t);
    const outside = await place(t);
    const abstract = `\0skein-test-${process.pid}-${network_access}`;
    const paths = [join(cwd, "s"), join(outside, "s"), `/tmp/skein-${process.pid}-${network_access}.sock`];
    const all = await Promise.all([...paths, abstract].map((path) => listening(t, path)));
    const named = [...paths, abstract.replace("\0", "@@")];
    const { stdout } = await runIn({ cwd, policy: workspace({ network_access }) }, [...python(SOCKETS), ...named]);
    const told = new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ") as [string, string]),
    );
    assert.deepEqual(
      named.map((name) => told.get(name)),
      named.map(() => "1"),
      stdout,
    );
    assert.deepEqual(
      ["vsock", "dgram-pair", "stream-pair", "inet", "io_uring", "open_tree", "clone3"].map((name) => told.get(name)),
      ["1", "1", "OPEN", "OPEN", "38", "1", "38"],
    );
    assert.deepEqual(
      all.map(({ connections }) => connections),
      [0, 0, 0, 0],
    );
  });
}

test("private: a command has Unix sockets of its own, and reaches none of the host's", withPython, async (t) => {
  const cwd = await place(t);
  const outside = await place(t);
  const paths = [join(cwd, "s"), join(outside, "s"), `/tmp/skein-${process.pid}-private.sock`];
  const all = await Promise.all(paths.map((path) => listening(t, path)));
  const folders = new HeldFolders();
  t.after(() => folders.dispose());
  const box = { cwd, folders, profile: "private" as const, policy: workspace({ exclude_slash_tmp: false }) };
  const { stdout } = await runIn(box, [...python(SOCKETS), ...paths]);
  assert.deepEqual(
    all.map(({ connections }) => connections),
    [0, 0, 0],
    stdout,
  );
  const own =
    'import socket; s = socket.socket(socket.AF_UNIX); s.bind("/tmp/own"); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect("/tmp/own"); print("served")';
  assert.equal((await runIn(box, python(own))).stdout, "served\n");
  const { stdout: kept } = await shIn(
    { ...box, env: { SSH_AUTH_SOCK: "/x", TMUX: "/y" } },
    "ls /tmp; echo $SSH_AUTH_SOCK$TMUX.",
  );
  assert.equal(kept, "own\n.\n", "the thread's own /tmp lasts from command to command");
  assert.equal(existsSync("/tmp/own"), false);
});

test("variables act on the command alone, never on bubblewrap", inSandbox, async (t) => {
  const cwd = await place(t);
  const outside = await place(t);
  const env = { LD_PRELOAD: join(cwd, "evil.so"), LD_LIBRARY_PATH: cwd, LD_AUDIT: join(cwd, "evil.so"), ODD: "a=b\nc" };
  const compiled = spawnSync("gcc", ["-shared", "-fPIC", "-o", env.LD_PRELOAD, "-x", "c", "-"], {
    input: `#include <fcntl.h>\n__attribute__((constructor)) static void run(void) { open("${outside}/ran", O_CREAT | O_WRONLY, 0600); }`,
  });
  if (compiled.status !== 0) await writeFile(env.LD_PRELOAD, "no library");
  const { stdout } = await shIn({ cwd, env }, 'echo "$ODD"; env | cut -d= -f1 | sort | tr "\\n" " "');
  assert.match(stdout, /^a=b\nc\n/);
  assert.match(stdout, /LD_AUDIT LD_LIBRARY_PATH LD_PRELOAD ODD/);
  assert.equal(existsSync(join(outside, "ran")), false);
});

test("a NUL in a folder or a variable is no way to further arguments", async () => {
  const plan = { profile: "strict", network: "none", proc: "own", mounts: [], variables: {}, workdir: "/" } as const;
  const evil = "x\0--bind\0/\0/";
  assert.throws(() => bubblewrapArguments({ ...plan, workdir: evil }, { bindsHandles: true }), /without null bytes/);
  assert.throws(() => bubblewrapArguments({ ...plan, variables: { A: evil } }, { bindsHandles: true }), /null bytes/);
  assert.throws(
    () => bubblewrapArguments({ ...plan, variables: { [evil]: "" } }, { bindsHandles: true }),
    /null bytes/,
  );
});

test("no handle of this process is open in a command, by pipes or in a terminal", inSandbox, async (t) => {
  const cwd = await place(t);
  // A process that itself inherits handles: a file and a folder, one of a high number.
  const script = `
    const { shIn, workspace } = await import(${JSON.stringify(new URL("./sandboxed.ts", import.meta.url).href)});
    const { stdout } = await shIn({ cwd: ${JSON.stringify(cwd)} }, "for f in /proc/self/fd/*; do echo $(basename $f) $(readlink $f); done; echo x > /proc/self/fd/200/planted; echo x > /proc/self/fd/7/planted");
    console.log(stdout);`;
  const outside = await place(t);
  const child = spawn("/bin/bash", [
    "-c",
    `exec 7<"${outside}" 200<"${outside}" "$0" --input-type=module -e "$1"`,
    process.execPath,
    script,
  ]);
  let stdout = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  await new Promise((resolve) => child.once("close", resolve));
  const open = stdout
    .split("\n")
    .filter((line) => /^\d+ \S/.test(line) && !/ (?:\/dev\/null|pipe:|socket:|\/proc\/)/.test(line));
  assert.match(stdout, /^0 /m);
  assert.deepEqual(open, []);
  assert.deepEqual(readdirSync(outside), []);
});

const library = await loadPty().catch(() => undefined);
const withPty = { skip: inSandbox.skip || (library === undefined ? "there is no pseudo-terminal here" : false) };

test("a terminal is confined alike, has job control, and two at once share nothing", withPty, async (t) => {
  const cwd = await place(t);
  const outside = await place(t);
  if (library === undefined) return;
  const run = async (script: string) => {
    let text = "";
    const command = { argv: ["/bin/bash", "-ic", script], workdir: cwd, env: { PATH: "/usr/bin:/bin", TERM: "dumb" } };
    const launch = await terminalLaunch(await confine(command, optionsOf({ cwd })));
    const onOutput = (_: string, chunk: Buffer) => {
      text += chunk;
    };
    const exitCode = await new PtyProcess(library, launch, { clock: systemClock, onOutput }).exit;
    return { exitCode, text };
  };
  const script = `tty; echo x > in-$$; echo x > ${outside}/out; mkdir -p .git/hooks; for f in /proc/self/fd/*; do readlink $f; done`;
  const [first, second] = await Promise.all([run(script), run(script)]);
  for (const { text } of [first, second]) {
    assert.match(text, /\/dev\/pts|\/dev\/console/);
    assert.doesNotMatch(text, /no job control/);
    assert.doesNotMatch(text, /ptmx/);
  }
  assert.deepEqual(readdirSync(outside), []);
  assert.equal(existsSync(join(cwd, ".git")), false);
  assert.ok(readdirSync(cwd).some((name) => name.startsWith("in-")));
});

test(
  "roots are what they were when the thread began: no swap leads the next command elsewhere",
  inSandbox,
  async (t) => {
    const base = await place(t);
    const outside = await place(t);
    for (const swap of ["link", "folder", "gone"] as const) {
      const cwd = join(base, swap);
      await mkdir(cwd);
      const folders = new HeldFolders();
      folders.hold([cwd]);
      assert.equal((await shIn({ cwd, folders }, "echo x > f")).exitCode, 0);
      const attacker = { cwd: base };
      const put = { link: `ln -s ${outside} ${swap}`, folder: `mkdir ${swap}`, gone: "true" }[swap];
      await shIn(attacker, `mv ${swap} ${swap}2; ${put}`);
      await assert.rejects(
        shIn({ cwd, folders }, "echo x > g"),
        (error) =>
          error instanceof SandboxUnavailableError && /is no longer the folder that it was/.test(error.message),
      );
    }
    assert.deepEqual(readdirSync(outside), []);
  },
);

test("a root that is a link is what it led to; a command's folder may be a link", inSandbox, async (t) => {
  const base = await place(t);
  const outside = await place(t);
  await mkdir(join(base, "real"));
  await symlink("real", join(base, "w"));
  const cwd = join(base, "w");
  const folders = new HeldFolders();
  assert.equal((await shIn({ cwd, folders }, "echo x > f; pwd")).exitCode, 0);
  assert.equal(existsSync(join(base, "real/f")), true);
  await shIn({ cwd: base }, `rm w; ln -s ${outside} w`);
  await shIn({ cwd, folders }, "echo x > g");
  assert.deepEqual(readdirSync(outside), []);
});

test("no bubblewrap, or one that cannot work, is told in its own words; nothing runs", async (t) => {
  const cwd = await place(t);
  const bin = await place(t);
  const program = join(bin, "bwrap");
  await writeFile(
    program,
    "#!/bin/sh\ncase $1 in --help) exit 0;; esac\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n",
  );
  await chmod(program, 0o755);
  const box = { cwd, environment: { ...process.env, SKEIN_BWRAP: program } };
  assert.match(
    (await obstacleTo(optionsOf(box))) ?? "",
    /there is no sandbox here: .* cannot make one: bwrap: No permissions to create/,
  );
  await assert.rejects(shIn(box, `touch ${cwd}/ran`), SandboxUnavailableError);
  assert.equal(existsSync(join(cwd, "ran")), false);
  const planted = { cwd: bin, environment: { ...process.env, SKEIN_BWRAP: program } };
  assert.match((await obstacleTo(optionsOf(planted))) ?? "", /cannot be trusted: commands may write in/);
});

test("a whole disk as the root leaves the system's programs as they are", inSandbox, async () => {
  const box = { cwd: "/", policy: workspace() };
  const { exitCode, aggregated } = await shIn(
    box,
    "ls /proc/self > /dev/null && test ! -e /dev/shm/skein-0/mount-points && ! touch /usr/bin/skein-test",
  );
  assert.equal(exitCode, 0, aggregated);
  assert.equal(existsSync("/usr/bin/skein-test"), false);
});

test("commands are independent of this process's own limits: what they read of it is nothing", inSandbox, async (t) => {
  const cwd = await place(t);
  const { stdout } = await shIn(
    { cwd },
    `cat /proc/${process.pid}/environ 2>/dev/null | wc -c; cat /proc/1/comm; kill -0 ${process.pid} 2>&1`,
  );
  assert.match(stdout, /^0\nbwrap\n/);
  assert.ok(readFileSync("/proc/self/environ").length > 0);
});

test("int 0x80 ends the process", {
  skip: inSandbox.skip || (process.arch === "x64" ? false : "x86 only"),
}, async (t) => {
  const cwd = await place(t);
  const source = 'int main(void) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)); return r > 0 ? 0 : 1; }';
  const built = spawnSync("gcc", ["-o", join(cwd, "call"), "-x", "c", "-"], { input: source });
  if (built.status !== 0) return t.skip("gcc is not installed");
  const { exitCode } = await runIn({ cwd }, [join(cwd, "call")]);
  assert.notEqual(exitCode, 0);
  await readFile(join(cwd, "call"));
});
