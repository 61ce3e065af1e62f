/**
 * Imports a package that may be missing. The name is no literal on purpose: a bundler that sees one pulls the package and
 * its own copy of shared libraries into the program, and wraps these so that they are used before they are made.
 *
 * @throws what `missing` makes of the cause, where the package is not installed; anything else as it comes
 */
export async function importOptional<Library>(name: string, missing: (cause: unknown) => Error): Promise<Library> {
  try {
    return (await import(/* @vite-ignore */ name)) as Library;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND" ? missing(cause) : cause;
  }
}
