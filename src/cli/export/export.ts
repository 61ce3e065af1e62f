import { once } from "node:events";
import { open, rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { MovableStore } from "../../store/movable-store.ts";
import { notWritten } from "../failure.ts";
import { withStore } from "../home.ts";
import { Interruption } from "../interruption.ts";
import { drained, type Io } from "../terminal/io.ts";
import { findThread } from "../thread-locator.ts";
import type { ThreadOptions } from "../thread-option.ts";

export type ExportOptions = ThreadOptions & {
  readonly format: "legacy" | "paginated";
  readonly output?: string;
  readonly json?: boolean;
};

export async function exportThread(options: ExportOptions, io: Io): Promise<void> {
  using interruption = new Interruption();
  const { signal } = interruption;
  try {
    await withStore(options, io, async (store) => {
      const pieces = store.export(await findThread(options, store, io), { format: options.format, signal });
      if (options.output === undefined) await toStdout(pieces, signal, io);
      else await toFile(pieces, resolve(io.cwd(), options.output), options, io);
    });
  } catch (error) {
    interruption.throwIfInterrupted();
    throw error;
  }
}

type Pieces = ReturnType<MovableStore["export"]>;

async function toStdout(pieces: Pieces, signal: AbortSignal, { stdout }: Io): Promise<void> {
  for await (const piece of pieces) {
    if (!stdout.write(piece)) await once(stdout, "drain", { signal });
  }
  await drained(stdout);
}

/** A file that is there is never overwritten, and none is left behind by an export that fails. */
async function toFile(pieces: Pieces, path: string, { json }: ExportOptions, io: Io): Promise<void> {
  const file = await open(path, "wx", 0o600).catch(notWritten(path));
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      await file.appendFile(piece).catch(notWritten(path));
      bytes += Buffer.byteLength(piece);
    }
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
  await file.close();
  io.stdout.write(
    json ? `${JSON.stringify({ path, bytes })}\n` : `wrote ${bytes.toLocaleString("en")} bytes to ${path}\n`,
  );
}
