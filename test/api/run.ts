/**
 * The public API as Markdown, one page for each door of the package (docs/api), from the compiler's declarations and their
 * comments. `--check` fails where a page differs from what is built, where an exported name has no comment, where a type can be
 * reached that is not exported, and where a door loads a file of internals: so each change of the API is a diff, and nothing
 * internal leaks.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { Extractor, ExtractorConfig, type ExtractorMessage } from "@microsoft/api-extractor";
import * as z from "zod";

const root = join(import.meta.dirname, "../..");
const pages = join(root, "docs/api");
const isCheck = process.argv.includes("--check");
const DOORS: Readonly<Record<string, string>> = {
  skein: "dist/src/index.d.ts",
  "skein/machines": "dist/machines/index.d.ts",
  "skein/testing": "dist/src/testing.d.ts",
  "skein/app-server": "dist/src/app-server/index.d.ts",
  "skein/cluster": "dist/src/cluster/index.d.ts",
  "skein/ai-sdk": "dist/src/model/ai-sdk.d.ts",
  "skein/otel": "dist/src/otel/instrument.d.ts",
  "skein/postgres": "dist/src/store/postgres/postgres-store.d.ts",
  "skein/studio": "dist/src/studio/index.d.ts",
};

const model = z.object({
  members: z.array(
    z.object({
      members: z.array(
        z.object({ name: z.string(), docComment: z.string().default(""), fileUrlPath: z.string().default("") }),
      ),
    }),
  ),
});
type Item = z.infer<typeof model>["members"][number]["members"][number];

const problems: string[] = [];
/** Types that a public one mentions, by the door where it does. */
const reached = new Map<string, string>();
const exported = new Set<string>();

function extract(entry: string, folder: string): readonly Item[] {
  const apiJsonFilePath = join(folder, "api.json");
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: join(root, entry),
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: "es2023",
            lib: ["es2024", "esnext.disposable"],
            module: "nodenext",
            moduleResolution: "nodenext",
            types: ["node"],
            strict: true,
            skipLibCheck: true,
          },
          files: [entry],
        },
      },
      apiReport: { enabled: false },
      docModel: { enabled: true, apiJsonFilePath, includeForgottenExports: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, "package.json"),
  });
  Extractor.invoke(config, { localBuild: true, messageCallback: (message) => note(entry, message) });
  return model.parse(JSON.parse(readFileSync(apiJsonFilePath, "utf8"))).members.flatMap(({ members }) => members);
}

function note(entry: string, message: ExtractorMessage): void {
  message.handled = true;
  const [, forgotten] = /^The symbol "(\w+?)(?:_\d+)?" needs to be exported/.exec(message.text) ?? [];
  if (forgotten !== undefined) reached.set(forgotten, entry);
  else if (message.category === "Compiler") problems.push(`${entry}: ${message.text}`);
}

/** The comment without its stars. */
const prose = (comment: string): string =>
  comment
    .replace(/^\/\*\*\s?|\s*\*\/\s*$/g, "")
    .replace(/^[ \t]*\* ?/gm, "")
    .replace(/\{@link ([^}]+)\}/g, "`$1`")
    .replace(/^@(\w+) ?/gm, "**$1** ")
    .replace(/[<>]/g, (sign) => (sign === "<" ? "&lt;" : "&gt;"))
    .trim();

/** The declaration as the compiler wrote it, its inner comments included: up to the end of its last bracket and line. */
function declaration({ name, fileUrlPath }: Item): string {
  const text = readFileSync(join(root, fileUrlPath), "utf8");
  const start = text.search(
    new RegExp(`^export (?:declare )?(?:abstract )?(?:type|interface|class|function|const) ${name}\\b`, "m"),
  );
  if (start < 0) return `// ${name}: declared in ${fileUrlPath}`;
  let depth = 0;
  let isText = "";
  for (let at = start; at < text.length; at += 1) {
    const char = text[at] ?? "";
    if (isText !== "") {
      if (text.startsWith(isText, at)) {
        at += isText.length - 1;
        isText = "";
      }
    } else if (text.startsWith("/*", at)) isText = "*/";
    else if (text.startsWith("//", at)) isText = "\n";
    else if (char === '"' || char === "'" || char === "`") isText = char;
    else if ("{([".includes(char)) depth += 1;
    else if ("})]".includes(char)) {
      depth -= 1;
      if (depth === 0 && char === "}" && /^\s*\n(?:export|\/\*\*|$)/.test(text.slice(at + 1)))
        return text.slice(start, at + 1);
    } else if (char === ";" && depth === 0) return text.slice(start, at + 1);
  }
  return text.slice(start);
}

const section = (item: Item): string =>
  [`## ${item.name}`, prose(item.docComment), `\`\`\`ts\n${declaration(item)}\n\`\`\``]
    .filter((line) => line !== "")
    .join("\n\n");

mkdirSync(pages, { recursive: true });
for (const [door, entry] of Object.entries(DOORS)) {
  const folder = mkdtempSync(join(tmpdir(), "skein-api-"));
  try {
    const items = extract(entry, folder).toSorted((one, other) => (one.name < other.name ? -1 : 1));
    for (const { name } of items) exported.add(name);
    for (const { name, docComment } of items) if (docComment === "") problems.push(`${door}: ${name} has no comment`);
    const text = `# ${door}\n\nMade from the source by \`npm run api\`.\n\n${items.map(section).join("\n\n")}\n`;
    const path = join(pages, `${door.replace("/", "-")}.md`);
    if (!isCheck) writeFileSync(path, text);
    else if (readFileSync(path, "utf8") !== text) problems.push(`${path} differs from what is built: npm run api`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A symbol's file, and one whose types stand in signatures of public ones without being named there. They import next to nothing. */
const LEAVES = ["protocol/shown-as.d.ts", "services/model-catalog.d.ts"];
/** The declaration files that a door makes a consumer's compiler read. */
const loaded = new Set<string>();
function load(path: string): void {
  if (loaded.has(path)) return;
  loaded.add(path);
  for (const [, from = ""] of readFileSync(path, "utf8").matchAll(/(?:from |import |import\()"(\.[^"]+)\.ts"/g))
    load(join(dirname(path), `${from}.d.ts`));
}
for (const entry of Object.values(DOORS)) load(join(root, entry));
for (const path of loaded) {
  const names = readFileSync(path, "utf8").matchAll(
    /^export (?:declare )?(?:abstract )?(?:type|interface|class|function|const) (\w+)/gm,
  );
  const own = [...names].map(([, name = ""]) => name);
  if (own.length > 0 && !LEAVES.some((leaf) => path.endsWith(leaf)) && !own.some((name) => exported.has(name)))
    problems.push(`${relative(root, path)} is loaded by a door, and no name of it is public`);
}
for (const [name, entry] of reached)
  if (!exported.has(name)) problems.push(`${name} can be reached from ${entry}, and no door exports it`);
for (const problem of new Set(problems)) process.stdout.write(`${problem}\n`);
process.stdout.write(`${new Set(problems).size} problems of the public API\n`);
if (isCheck && problems.length > 0) process.exitCode = 1;
