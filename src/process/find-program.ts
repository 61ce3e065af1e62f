import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";

/**
 * The file of a program that runs with no more rights than the setter of the path; undefined when no folder of it has one.
 * What runs with more rights than a command is found by `trustedProgram`.
 */
export async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    if (folder === "") continue;
    const file = join(folder, name);
    if (await mayBeRun(file)) return file;
  }
  return undefined;
}

/** Whether this process may run what stands there. */
export const mayBeRun = (file: string): Promise<boolean> =>
  access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
