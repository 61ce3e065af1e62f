/**
 * Proves the package from its user's side: packs it, installs the tarball into a folder of its own, and uses it in every
 * form that a program may: Node's import and require, one bundled file (esbuild, ESM and CommonJS), a Vite build, and the
 * declarations under several compilers. Needs the npm registry, so it is no part of `npm test`; `.ci/run` calls it.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "skein-package-"));
const COMPILERS = {
  "ts5.6": "typescript@~5.6.0",
  "ts5.9": "typescript@~5.9.0",
  ts6: "typescript@^6",
  ts7: "typescript@^7",
};
const HELLO = readFileSync(join(import.meta.dirname, "consumer/hello.mjs"), "utf8");
const CONTRACT = readFileSync(join(import.meta.dirname, "consumer/store.test.mjs"), "utf8");
const TYPES = readFileSync(join(import.meta.dirname, "consumer/types.ts"), "utf8");

class StepFailed extends Error {}

function run(command: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 600_000 });
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new StepFailed(`${command} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error });
  }
}

function project(
  name: string,
  files: Readonly<Record<string, string>>,
  packages: readonly string[],
  flags: readonly string[] = [],
): string {
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, "package.json"), JSON.stringify({ name, private: true, type: "module" }));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  if (packages.length > 0)
    run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...flags, ...packages], path);
  return path;
}

const expectHello = (output: string): void => {
  if (!output.includes("0 session_configured") || !output.includes("2 + 3 is 5."))
    throw new StepFailed(`the program printed something else:\n${output}`);
};

let failures = 0;
let passed = 0;
function step(name: string, work: () => void): void {
  try {
    work();
    passed += 1;
    process.stdout.write(`ok   ${name}\n`);
  } catch (error) {
    failures += 1;
    process.stdout.write(`FAIL ${name}\n${error instanceof StepFailed ? error.message : String(error)}\n`);
  }
}

try {
  run("npm", ["pack", "--pack-destination", folder], root);
  const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "no tarball");

  step("publint", () => run("npx", ["publint", "--strict", tarball], root));
  step("are the types wrong", () =>
    run("npx", ["attw", tarball, "--profile", "esm-only", "--no-emoji", "--no-color"], root),
  );

  const plain = project("plain", { "hello.mjs": HELLO }, [tarball, "zod"]);
  step("import", () => expectHello(run(process.execPath, ["--no-warnings", "hello.mjs"], plain)));
  step("require", () => {
    const source = HELLO.replace(/^import (\{.*?\}) from ("[^"]+");$/gm, "const $1 = require($2);");
    writeFileSync(join(plain, "hello.cjs"), `(async () => {\n${source}\n})();`);
    expectHello(run(process.execPath, ["--no-warnings", "hello.cjs"], plain));
  });
  step("the command", () => {
    const skein = join(plain, "node_modules/.bin/skein");
    if (!/\bskein\b/.test(run(process.execPath, [skein, "--help"], plain))) throw new StepFailed("no help");
    run(process.execPath, [skein, "demo", "--json"], plain);
  });
  step("the studio's page", () => {
    const source = `import { ThreadManager, memoryStore } from "skein"; import { createStudio } from "skein/studio";
const manager = await ThreadManager.create({ store: memoryStore() });
const studio = await createStudio(manager);
const page = await fetch(studio.url + "studio.js");
console.log(page.status, (await page.text()).length > 50_000);
await studio.close(); await manager.shutdown();`;
    writeFileSync(join(plain, "studio.mjs"), source);
    const printed = run(process.execPath, ["--no-warnings", "studio.mjs"], plain);
    if (!printed.includes("200 true")) throw new StepFailed(printed);
  });
  step("the contract of stores", () => {
    writeFileSync(join(plain, "store.test.mjs"), CONTRACT);
    const printed = run(process.execPath, ["--no-warnings", "--test", "store.test.mjs"], plain);
    if (!/(?:ℹ|#) fail 0/.test(printed) || !/(?:ℹ|#) skipped 1/.test(printed)) throw new StepFailed(printed);
  });
  step("a database without the package pg", () => {
    const args = ["node_modules/.bin/skein", "list", "--store", "postgres://skein@127.0.0.1:1/skein"];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: plain, encoding: "utf8", timeout: 60_000 });
    const told = "error: a PostgreSQL store needs the package pg: npm install pg (invalid_request)\n";
    if (status !== 1 || stderr !== told) throw new StepFailed(stderr);
  });
  step("skein/otel without its peer says so in one line", () => {
    const source = `import { instrument } from "skein/otel";\ntry { instrument(); } catch (error) { console.log(error.message); }\n`;
    const path = project("no-otel", { "otel.mjs": source }, [tarball]);
    const said = run(process.execPath, ["--no-warnings", "otel.mjs"], path);
    if (!/^skein\/otel needs the package `@opentelemetry\/api`.*\n$/.test(said)) throw new StepFailed(said);
  });
  step("skein/otel with its peer", () => {
    const source = `import { instrument } from "skein/otel";\nimport { ThreadManager } from "skein";\nawait using manager = await ThreadManager.create();\ninstrument(manager).dispose();\nconsole.log("watched");\n`;
    const path = project("otel", { "otel.mjs": source }, [tarball, "@opentelemetry/api"]);
    if (!run(process.execPath, ["--no-warnings", "otel.mjs"], path).includes("watched")) throw new StepFailed("silent");
  });
  step("without optional dependencies", () => {
    const path = project("bare", { "hello.mjs": HELLO }, [tarball, "zod"], ["--omit=optional"]);
    expectHello(run(process.execPath, ["--no-warnings", "hello.mjs"], path));
  });

  const esbuild = join(root, "node_modules/.bin/esbuild");
  const requireBanner =
    "--banner:js=import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);";
  for (const [format, file, extra] of [
    ["esm", "out.mjs", [requireBanner]],
    ["cjs", "out.cjs", []],
  ] as const) {
    step(`one file by esbuild, ${format}`, () => {
      // CommonJS has no await at the top.
      if (format === "cjs") {
        const imports = HELLO.match(/^import .*$/gm)?.join("\n") ?? "";
        writeFileSync(
          join(plain, "wrapped.mjs"),
          `${imports}\n(async () => {\n${HELLO.replace(/^import .*$/gm, "")}\n})();`,
        );
      }
      const entry = format === "cjs" ? "wrapped.mjs" : "hello.mjs";
      run(esbuild, [entry, "--bundle", "--platform=node", `--format=${format}`, `--outfile=${file}`, ...extra], plain);
      const alone = project(`alone-${format}`, { [file]: readFileSync(join(plain, file), "utf8") }, []);
      expectHello(run(process.execPath, ["--no-warnings", file], alone));
    });
  }
  step("one file by Vite", () => {
    const config = `export default { build: { ssr: "hello.mjs", outDir: "out", target: "node22" }, ssr: { noExternal: true, external: [] } };`;
    const path = project("vite", { "hello.mjs": HELLO, "vite.config.mjs": config }, [tarball, "zod", "vite"]);
    run(process.execPath, ["node_modules/vite/bin/vite.js", "build"], path);
    expectHello(run(process.execPath, ["--no-warnings", "out/hello.js"], path));
  });

  for (const [name, compiler] of Object.entries(COMPILERS)) {
    const path = project(name, { "types.ts": TYPES }, [tarball, compiler, "zod", "@types/node@22"]);
    for (const [module, moduleResolution] of [
      ["nodenext", "nodenext"],
      ["esnext", "bundler"],
    ]) {
      step(`declarations, ${name}, ${moduleResolution}`, () => {
        const compilerOptions = {
          module,
          moduleResolution,
          target: "es2022",
          lib: ["es2022"],
          types: ["node"],
          strict: true,
          skipLibCheck: false,
          noEmit: true,
        };
        writeFileSync(join(path, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["types.ts"] }));
        run("npx", ["tsc"], path);
      });
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${passed} passed, ${failures} failed\n`);
process.exitCode = failures === 0 ? 0 : 1;
