/**
 * Runs the benches one after another: JSON lines as they come, then a table. Names on the command line choose some; those
 * of the app-server, which also drives the stock binaries, of PostgreSQL and of a cluster run only when they are named.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { openRoot } from "./folders.ts";

openRoot();
const folder = import.meta.dirname;
const chosen = process.argv.slice(2);
const ON_DEMAND = ["app-server.bench.ts", "cluster.bench.ts", "postgres.bench.ts"];
const files = readdirSync(folder)
  .filter((name) => name.endsWith(".bench.ts"))
  .filter((name) => (chosen.length === 0 ? !ON_DEMAND.includes(name) : chosen.some((part) => name.startsWith(part))));

type Line = Record<string, unknown>;
const lines: Line[] = [];

for (const file of files) {
  await new Promise<void>((resolve, reject) => {
    const child = spawn(process.execPath, ["--no-warnings", join(folder, file)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let rest = "";
    child.stdout.on("data", (chunk: Buffer) => {
      process.stdout.write(chunk);
      const parts = (rest + chunk.toString()).split("\n");
      rest = parts.pop() ?? "";
      for (const part of parts) lines.push(JSON.parse(part) as Line);
    });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`${file} ended with code ${code}`))));
  });
}

const cell = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "median" in value && "min" in value && "max" in value
    ? `${String(value.median)} (${String(value.min)}-${String(value.max)})`
    : value;
console.table(lines.map((line) => Object.fromEntries(Object.entries(line).map(([key, value]) => [key, cell(value)]))));
