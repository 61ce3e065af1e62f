#!/usr/bin/env node
// This file parses on old versions of Node, so that they are told what is wrong; all else is behind the import.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 13)) {
  process.stderr.write(`error: skein needs Node 22.13 or newer; this is Node ${process.versions.node}\n`);
  process.exit(1);
}
// Whoever lists processes reads their arguments: a password among them is covered by a title as soon as it is taken in.
if (process.argv.some((text) => /:\/\/[^/\s]*:[^/\s]*@/.test(text))) process.title = "skein";
// Compiled code is kept between runs, in the temporary folder: up to half of the time that a short command takes.
(await import("node:module")).enableCompileCache?.();
const { runProgram } = await import("./program.ts");
process.exitCode = await runProgram(process.argv.slice(2), process);

export {};
