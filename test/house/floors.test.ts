/** The house: what may import what, and that what is said twice is said alike. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as skein from "../../src/index.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FLOORS: Record<string, number> = {
  protocol: 0,
  kernel: 1,
  store: 2,
  model: 2,
  services: 2,
  process: 2,
  turn: 3,
  thread: 3,
  manager: 4,
  "app-server": 5,
  cli: 5,
  drawing: 5,
  studio: 5,
  otel: 5,
  cluster: 5,
};

const filesIn = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));

type Source = {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
  /** Those that come with the file whenever it is loaded. */
  readonly loaded: readonly string[];
};

const read = (path: string): Source => {
  const text = readFileSync(join(ROOT, path), "utf8");
  const imports = [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(\s*|^import\s+)"([^"]+)"/gm)].flatMap(
    ([, name]) => name ?? [],
  );
  const loaded = [
    ...text.matchAll(/^(?:import|export)\b(?!\s+type\b)[^;]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"/gm),
  ].map(([, from, bare]) => from ?? bare ?? "");
  return { path, text, imports, loaded };
};

const sources = filesIn("src").map(read);
const machines = filesIn("machines").map(read);

/** The public names stand on the manager's floor, for the floor above to use; the version is a word for all. */
const DOORS: Record<string, number> = {
  "index.ts": 4,
  "testing.ts": 4,
  "app-server.ts": 5,
  "version.ts": 0,
  "node-version.ts": 0,
};

const floorOf = (path: string): number => {
  const [, room = "", rest] = path.split("/");
  return (rest === undefined ? DOORS[room] : FLOORS[room]) ?? Number.NaN;
};

/** The strongly connected components of more than one file, and files that import themselves (Tarjan 1972). */
function circlesIn(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const number = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const circles: string[][] = [];
  const reach = (path: string, to: number) => lowest.set(path, Math.min(lowest.get(path) ?? to, to));
  const visit = (path: string): void => {
    const mine = number.size;
    number.set(path, mine);
    reach(path, mine);
    open.push(path);
    const targets = edges.get(path) ?? [];
    for (const target of targets) {
      if (!number.has(target)) visit(target);
      if (open.includes(target)) reach(path, lowest.get(target) ?? mine);
    }
    if (lowest.get(path) !== mine) return;
    const circle = open.splice(open.indexOf(path));
    if (circle.length > 1 || targets.includes(path)) circles.push(circle.toSorted());
  };
  for (const path of edges.keys()) if (!number.has(path)) visit(path);
  return circles;
}

const targetOf = ({ path }: Source, name: string): string => relative(ROOT, resolve(ROOT, dirname(path), name));

suite("the house", () => {
  test("every room has a floor, and a file imports from its own floor or from a lower one", () => {
    const wrong = sources.flatMap((source) =>
      source.imports.flatMap((name) => {
        if (!name.startsWith(".")) return [];
        const target = targetOf(source, name);
        // Machines stand beside the floors: whoever binds them may use them.
        if (target.startsWith("machines/")) return floorOf(source.path) >= 3 ? [] : [`${source.path} -> ${target}`];
        return floorOf(target) <= floorOf(source.path) ? [] : [`${source.path} -> ${target}`];
      }),
    );
    assert.deepEqual(wrong, []);
  });

  test("nothing is used that the oldest Node we ask for does not have", () => {
    const newer = /\bnew (?:Async)?DisposableStack\b|\bRegExp\.escape\(|\bError\.isError\(|\.isTransaction\b/;
    assert.deepEqual(
      sources.filter(({ text }) => newer.test(text)).map(({ path }) => path),
      [],
    );
  });

  test("machines know src/protocol, xstate and each other, and nothing of time or chance", () => {
    const wrong = machines.flatMap((source) => [
      ...source.imports.filter((name) => {
        if (name === "xstate") return false;
        const target = targetOf(source, name);
        return !target.startsWith("machines/") && !target.startsWith("src/protocol/");
      }),
      ...(source.text.match(/\b(?:Date\.now|Math\.random|setTimeout|process\.)\b/g) ?? []),
    ]);
    assert.deepEqual(wrong, []);
  });

  test("commands load no more than they need: their frame nothing of their work, those that only read no runtime", () => {
    const loads = new Map(
      [...sources, ...machines].map((source) => [
        source.path,
        source.loaded.map((name) => (name.startsWith(".") ? targetOf(source, name) : name)),
      ]),
    );
    const loadedBy = (path: string): string[] => {
      const found = new Set([path]);
      for (const each of found) for (const next of loads.get(each) ?? []) found.add(next);
      assert.ok(found.size > 30, path);
      return [...found];
    };
    const work =
      /^src\/(?!cli\/|protocol\/|version\.ts)(?!services\/(?:codex-names|plain-name)\.ts)|^machines\/|^(?:zod|xstate|rxjs|pino|string-width)\b/;
    const runtime = /^src\/(?:manager|thread|turn|model)\/|^machines\/|^(?:xstate|rxjs)\b/;
    const readers = ["archive", "check-home", "copy", "export", "list", "show"];
    assert.deepEqual(
      [
        ...loadedBy("src/cli/program.ts").filter((path) => work.test(path)),
        ...readers.flatMap((name) => loadedBy(`src/cli/${name}/${name}.ts`)).filter((path) => runtime.test(path)),
      ],
      [],
      "import it where it is needed, and not by way of index.ts",
    );
  });

  test("no circle of imports, types included", () => {
    const edges = new Map(
      [...sources, ...machines].map((source) => [
        source.path,
        source.imports.filter((name) => name.startsWith(".")).map((name) => targetOf(source, name)),
      ]),
    );
    const circles = circlesIn(edges);
    assert.deepEqual(
      circles,
      [],
      `move what both need to a file of its own, or a floor below:\n${circles.map((circle) => circle.join(", ")).join("\n")}`,
    );
  });

  test("circles are found", () => {
    const edges = { a: ["b"], b: ["c", "d"], c: ["a"], d: ["e"], e: [], f: ["f"], g: ["a"], h: ["i"], i: ["h"] };
    assert.deepEqual(circlesIn(new Map(Object.entries(edges))), [["a", "b", "c"], ["f"], ["h", "i"]]);
  });

  test("no file exports everything of another", () => {
    assert.deepEqual(
      [...sources, ...machines].filter(({ text }) => /^export \*/m.test(text)).map(({ path }) => path),
      [],
    );
  });

  test("zod is imported as a namespace: by its name, the program would load its messages in fifty languages", () => {
    assert.deepEqual(
      [...sources, ...machines].filter(({ text }) => /import \{[^}]*\} from "zod"/.test(text)).map(({ path }) => path),
      [],
    );
  });

  test("nothing below the cli reads the environment, but for what commands inherit unless they are told otherwise", () => {
    const reads = sources.flatMap(({ path, text }) =>
      path.startsWith("src/cli/")
        ? []
        : text
            .split("\n")
            .flatMap((line) =>
              /^\s*(?:\*|\/\/)/.test(line) || !line.includes("process.env") ? [] : [`${path}: ${line.trim()}`],
            ),
    );
    assert.deepEqual(reads, ["src/manager/options.ts: environment: options.environment ?? process.env,"]);
  });

  test("what lasts or waits is measured by a clock that nobody sets", () => {
    const byTimeOfDay = /clock\.now\(\) [-<>+]|[-<>] [\w.#]*clock\.now\(\)/i;
    // Times that are stored, of files, or asked for by the time of day; and a clock of its own that is none.
    const known = [
      "manager/timers",
      "manager/group",
      "store/file/file-system",
      "services/models-manager",
      "cli/load/runner",
    ];
    const found = sources.filter(({ text }) => byTimeOfDay.test(text)).map(({ path }) => path);
    assert.deepEqual(found.sort(), known.map((name) => `src/${name}.ts`).sort(), "measure by elapsedBy(clock)");
  });

  test("the version is package.json's", () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    assert.equal(skein.VERSION, version);
  });

  test("every error class that is exported has its code in the registry, and its JSON-RPC number", () => {
    const numbers: Record<string, number> = {
      thread_not_found: -32600,
      session_configured_not_first_event: -32603,
      thread_closed: -32600,
      thread_busy: -32010,
      duplicate_thread: -32600,
      limit_reached: -32011,
      no_active_turn: -32600,
      turn_given_up: -32603,
      invalid_fork_point: -32600,
      rollout_not_found: -32600,
      rollout_corrupt: -32603,
      store_io: -32603,
      budget_exceeded: -32014,
      deadline_exceeded: -32012,
      overloaded: -32001,
      invalid_request: -32600,
      model_error: -32603,
      sandbox_unavailable: -32603,
      fan_out_failed: -32603,
      turn_failed: -32603,
      step_failed: -32603,
      message_refused: -32600,
      request_failed: -32603,
      approval_denied: -32600,
      manager_closed: -32013,
      cluster_unavailable: -32015,
      cluster_mismatch: -32603,
      internal_defect: -32603,
    };
    const codes = Object.values(skein).flatMap((value) =>
      typeof value === "function" && value.prototype instanceof Error && "code" in value ? [String(value.code)] : [],
    );
    assert.deepEqual(codes.toSorted(), Object.keys(numbers).toSorted());
    assert.deepEqual(
      Object.fromEntries(Object.entries(skein.ERROR_REGISTRY).map(([code, { rpc }]) => [code, rpc])),
      numbers,
    );
  });
});
