/**
 * fs/*: files of the server's machine, as the server's own user sees them. No sandbox and no approval stands before them, as
 * none stands before `command/exec`: whoever may call one may call the other.
 */
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rm, rmdir, stat } from "node:fs/promises";
import { isAbsolute, join, normalize } from "node:path";
import * as z from "zod";
import { makeFolder } from "../../../kernel/make-folder.ts";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import { readBytes } from "../../../services/bounded-read.ts";
import { ioCode, ioText } from "../../../services/io-failure.ts";
import { type MethodTable, method } from "../../method.ts";
import { optionalFlag, text } from "../../params.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError } from "../../rpc-error.ts";
import type { ServerContext } from "../../server-context.ts";
import { copyPath } from "./copy.ts";
import { FileWatches } from "./watches.ts";

/** Taken as written but for `.`, `..` and doubled slashes: nobody looks for links before the file system does. */
const path = text.refine(isAbsolute, "AbsolutePathBuf deserialized without a base path").transform(normalize);

const pathSchema = z.object({ path });
const writeSchema = z.object({ path, dataBase64: text });
const createSchema = z.object({ path, recursive: optionalFlag });
const removeSchema = z.object({ path, recursive: optionalFlag, force: optionalFlag });
const copySchema = z.object({ sourcePath: path, destinationPath: path, recursive: optionalFlag });
const watchSchema = z.object({ watchId: text, path });
const unwatchSchema = z.object({ watchId: text });

/** In base64 it fills the largest message there is. */
const LARGEST_BYTES = 48 * 1024 * 1024;

export const fileMethods = ({ clock }: Pick<ServerContext, "clock">): MethodTable => {
  const watches = new FileWatches(clock);
  return {
    "fs/readFile": method({ params: pathSchema, handle: (params) => done(() => readFile(params.path)) }),
    "fs/writeFile": method({
      params: writeSchema,
      handle: (params) => done(() => writeFile(params)),
    }),
    "fs/createDirectory": method({
      params: createSchema,
      handle: (params) => done(() => createDirectory(params)),
    }),
    "fs/getMetadata": method({ params: pathSchema, handle: (params) => done(() => metadata(params.path)) }),
    "fs/readDirectory": method({ params: pathSchema, handle: (params) => done(() => readDirectory(params.path)) }),
    "fs/remove": method({ params: removeSchema, handle: (params) => done(() => remove(params)) }),
    "fs/copy": method({
      params: copySchema,
      handle: ({ sourcePath, destinationPath, recursive }) =>
        done(() => copyPath(sourcePath, destinationPath, { recursive: recursive ?? false })),
    }),
    "fs/watch": method({
      params: watchSchema,
      handle: (params, { connection }) => done(() => watches.begin(connection, params)),
    }),
    "fs/unwatch": method({
      params: unwatchSchema,
      handle: ({ watchId }, { connection }) => {
        watches.end(connection, watchId);
        return {};
      },
    }),
  };
};

/** Tells what the file system says in Codex's words. It is the client's path that is wrong, not the server. */
async function done(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return (await work()) ?? {};
  } catch (error) {
    if (error instanceof RpcError) throw error;
    const code = ioCode(error);
    if (code === "ERR_INVALID_ARG_VALUE") throw invalidRequest("file name contained an unexpected NUL byte");
    if (code === undefined) throw error;
    throw new RpcError(INTERNAL_ERROR, ioText(error), { code: "invalid_request", cause: error });
  }
}

async function readFile(file: string): Promise<{ dataBase64: string }> {
  const found = await stat(file);
  if (!found.isFile()) throw notAFile(file);
  try {
    return { dataBase64: (await readBytes(file, LARGEST_BYTES)).toString("base64") };
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error;
    throw invalidRequest(`file is too large to read: limit is ${LARGEST_BYTES} bytes`, { cause: error });
  }
}

/** Opening waits for nobody, where stock Codex waits for a pipe's reader. */
const WRITE = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK | constants.O_NOCTTY;

async function writeFile({ path: file, dataBase64 }: z.infer<typeof writeSchema>): Promise<void> {
  const bytes = bytesOf(dataBase64);
  const opened = await open(file, WRITE).catch((error: unknown) => {
    throw ioCode(error) === "ENXIO" ? notAFile(file) : error;
  });
  try {
    if (!(await opened.stat()).isFile()) throw notAFile(file);
    await opened.writeFile(bytes);
  } finally {
    await opened.close();
  }
}

function bytesOf(base64: string): Buffer {
  const wrong = (why: string) => invalidRequest(`fs/writeFile requires valid base64 dataBase64: ${why}`);
  const at = base64.search(/[^A-Za-z0-9+/=]|=(?!=?$)/);
  if (at !== -1) throw wrong(`Invalid symbol ${base64.codePointAt(at)}, offset ${at}.`);
  if (base64.length % 4 !== 0) throw wrong("Invalid padding");
  return Buffer.from(base64, "base64");
}

const notAFile = (file: string): RpcError => invalidRequest(`path \`${file}\` is not a file`);

async function createDirectory({ path: folder, recursive }: z.infer<typeof createSchema>): Promise<void> {
  await (recursive === false ? mkdir(folder) : makeFolder(folder));
}

async function metadata(file: string) {
  const [own, found] = await Promise.all([lstat(file), stat(file)]);
  return {
    isDirectory: found.isDirectory(),
    isFile: found.isFile(),
    isSymlink: own.isSymbolicLink(),
    createdAtMs: Math.max(0, Math.trunc(found.birthtimeMs)),
    modifiedAtMs: Math.trunc(found.mtimeMs),
  };
}

/** A link that leads nowhere is left out, as in stock Codex. */
async function readDirectory(folder: string) {
  const found = await Promise.all(
    (await readdir(folder)).map(async (fileName) => {
      const entry = await stat(join(folder, fileName)).catch(() => undefined);
      return entry === undefined ? [] : [{ fileName, isDirectory: entry.isDirectory(), isFile: entry.isFile() }];
    }),
  );
  return { entries: found.flat() };
}

async function remove({ path: target, recursive, force }: z.infer<typeof removeSchema>): Promise<void> {
  if (recursive ?? true) return rm(target, { recursive: true, force: force ?? true });
  try {
    const found = await lstat(target);
    if (found.isDirectory()) await rmdir(target);
    else await rm(target);
  } catch (error) {
    if (ioCode(error) !== "ENOENT" || force === false) throw error;
  }
}
