/** The page as it was built: read once, so that no request names a file. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { InvalidRequestError } from "../protocol/errors.ts";

export type PageFile = { readonly type: string; readonly body: Buffer };

const FILES: Readonly<Record<string, string>> = {
  "index.html": "text/html; charset=utf-8",
  "studio.js": "text/javascript; charset=utf-8",
  "studio.css": "text/css; charset=utf-8",
  "machines.json": "application/json",
  "icon.svg": "image/svg+xml",
};

/** @throws InvalidRequestError where the page has not been built, or was not shipped along */
export async function readPageFiles(folder = builtFolder()): Promise<ReadonlyMap<string, PageFile>> {
  const read = async ([name, type]: [string, string]) =>
    [name, { type, body: await readFile(join(folder, name)) }] as const;
  return new Map(
    await Promise.all(Object.entries(FILES).map(read)).catch((cause: unknown) => {
      throw new InvalidRequestError(
        `the studio's page is not at ${folder}; in a clone of skein, run \`npm run build\``,
        {
          cause,
        },
      );
    }),
  );
}

/** Whatever bundle this runs in: the nearest folder above that has the page. */
function builtFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let above = dirname(folder); above !== folder; folder = above, above = dirname(folder)) {
    for (const place of ["studio-page", "dist/studio-page"]) {
      if (existsSync(join(folder, place, "index.html"))) return join(folder, place);
    }
  }
  return join(dirname(fileURLToPath(import.meta.url)), "studio-page");
}
